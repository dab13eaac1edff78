package language

import "strings"

type attributeKind uint8

const (
	plainAttribute attributeKind = iota
	urlAttribute
	refusedAttribute
)

var attributes = map[string]attributeKind{
	"href": urlAttribute, "src": urlAttribute, "action": urlAttribute, "formaction": urlAttribute,
	"background": urlAttribute, "poster": urlAttribute, "cite": urlAttribute, "data": urlAttribute,
	"longdesc": urlAttribute, "usemap": urlAttribute, "manifest": urlAttribute, "codebase": urlAttribute,
	"classid": urlAttribute, "profile": urlAttribute, "dynsrc": urlAttribute, "lowsrc": urlAttribute,
	"ping": urlAttribute, "icon": urlAttribute, "archive": urlAttribute,
	"style": refusedAttribute, "srcdoc": refusedAttribute, "srcset": refusedAttribute,
	"imagesrcset": refusedAttribute, "http-equiv": refusedAttribute, "xmlns": refusedAttribute,
}

// schemes are the URL schemes a value may bring.
var schemes = map[string]bool{"http": true, "https": true, "mailto": true, "tel": true}

func attributeOf(tag, attr string) attributeKind {
	if kind, ok := attributes[attr]; ok {
		return kind
	}
	switch {
	case strings.HasPrefix(attr, "on"), strings.HasPrefix(attr, "xmlns:"), tag == "meta" && attr == "content":
		return refusedAttribute
	case strings.HasSuffix(attr, ":href"), strings.HasSuffix(attr, ":src"):
		return urlAttribute
	}
	return plainAttribute
}

// where completes "a value cannot stand …".
func (at position) where(tag string) string {
	switch at {
	case inText:
		return "in text"
	case afterLess, afterLessSlash, inTagName:
		return "in the name of a tag"
	case beforeName, inName, afterName:
		return "inside a tag, outside of an attribute's quotes"
	case beforeValue, inBare:
		return "in an attribute value without quotes"
	case inDouble, inSingle:
		return "in an attribute value"
	case inRaw, rawLess, rawLessSlash, rawEndName:
		return "in <" + tag + ">"
	case inBogus, afterLessBang, afterLessBangDash:
		return "in a declaration"
	}
	return "in an HTML comment"
}

// describe completes "one ends …".
func (s state) describe() string {
	text := s.at.where(s.tag)
	if s.attr != "" && s.at > afterName {
		text += " (" + s.attr + ")"
	}
	if s.settled {
		text += ", after the start of its URL"
	}
	return text
}

// place is what a caller that edits the source needs to know.
func (s state) place() Place {
	switch s.at {
	case inText:
		return Content
	case inDouble, inSingle:
		if s.attr != "style" {
			return Words
		}
	case inRaw:
		if raw[s.tag] {
			return Words
		}
	case inComment:
		return Words
	}
	return Markup
}
