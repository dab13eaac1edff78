package templates

import (
	"strings"

	"posthaste/templates/language"
)

// html reads a body written in HTML.
func (c *compiler) html() []mapped {
	at := inSource("body", c.src.Body)
	program, err := language.Parse(c.src.Body, c.names.options("body", language.HTML))
	// The tags of a body that does not parse are still words enough to check its elements.
	lax, laxErr := language.Parse(c.src.Body, c.names.options("body", language.Text))
	if laxErr == nil {
		text, where := c.words(lax, at)
		c.check(text, where)
	}
	if err != nil {
		if len(c.faults) == 0 || laxErr != nil {
			c.take(err)
		}
		return nil
	}
	list := located(program, at)
	for _, p := range list {
		if p.piece.Kind == language.Control && p.piece.Place == language.Markup && len(c.faults) == 0 {
			c.refuseIn(p.from, "a tag of the template cannot stand here: put it between elements or inside the quotes of a value")
		}
	}
	return list
}

// words gives the program's source with a word for every tag, and the place
// in the source of each of its offsets.
func (c *compiler) words(p *language.Program, at func(int) place) (string, func(int) place) {
	type step struct{ here, there int }
	var steps []step
	var text strings.Builder
	for _, piece := range p.Pieces() {
		steps = append(steps, step{text.Len(), piece.Offset})
		switch piece.Kind {
		case language.Literal:
			text.WriteString(piece.Text)
		case language.Output, language.Control:
			text.WriteString(c.marks.add(piece, at(piece.Offset)))
		}
	}
	return text.String(), func(offset int) place {
		there := 0
		for i, s := range steps {
			if s.here > offset {
				break
			}
			there = s.there
			if p.Pieces()[i].Kind == language.Literal {
				there += offset - s.here
			}
		}
		return at(there)
	}
}
