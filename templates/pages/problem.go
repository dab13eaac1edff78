package pages

import "io"

// Problem is a page that says what did not work.
type Problem struct {
	Lang      string // BCP 47; English when there are no texts in it
	Status    int    // of HTTP
	Title     string
	Text      string
	RequestID string // to be named to the sender, or empty
}

type problemTexts struct {
	Error     string `json:"error"`
	Reference string `json:"reference"`
}

type problemView struct {
	frame
	P Problem
	T problemTexts
}

// WriteProblem writes an error page. Its title and text come from the caller.
func WriteProblem(w io.Writer, p Problem) error {
	s := load()
	t := s.texts(p.Lang)
	return s.write(w, "problem", problemView{t.frame(p.Title, ""), p, t.Problem})
}
