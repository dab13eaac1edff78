package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"posthaste"
)

// Limits of what the API takes.
const (
	bodyLimit  = 1 << 20
	nameLimit  = 200
	pageSize   = 100
	pageAtMost = 1000
)

// read fills into from the JSON body. Unknown fields, wrong types and anything
// after the object are refused, each by its name.
func read(c echo.Context, into any) error { return readUpTo(c, into, bodyLimit) }

func readUpTo(c echo.Context, into any, limit int64) error {
	r := c.Request()
	kind, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || kind != echo.MIMEApplicationJSON {
		return posthaste.Refuse("Content-Type", "must be application/json")
	}
	decoder := json.NewDecoder(http.MaxBytesReader(c.Response(), r.Body, limit))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&into); err != nil {
		return refuseJSON(err)
	}
	_, err = decoder.Token()
	if into == nil || !errors.Is(err, io.EOF) { // null leaves nothing to read into
		return posthaste.Refuse("body", "must be one JSON object and nothing after it")
	}
	return nil
}

func refuseJSON(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		name := e.Field
		if name == "" {
			name = "body"
		}
		return posthaste.Refuse(name, fmt.Sprintf("must be %s, not %s", plainType(e.Type.Kind().String()), e.Value))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return posthaste.Refuse("body", fmt.Sprintf("is not valid JSON at byte %d: %s", e.Offset, e.Error()))
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &posthaste.Error{Kind: posthaste.TooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return posthaste.Refuse("body", "is empty or cut off; a JSON object is needed")
	}
	// encoding/json has no type for this one error.
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return posthaste.Refuse(strings.Trim(name, `"`), "is not a field of this request")
	}
	return posthaste.Refuse("body", err.Error())
}

func plainType(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"):
		return "a whole number"
	case kind == "struct" || kind == "map":
		return "an object"
	case kind == "slice":
		return "an array"
	case kind == "bool":
		return "true or false"
	}
	return "a " + kind
}

// faults collects what is wrong with a request.
type faults []posthaste.Field

func (f *faults) add(name, reason string) {
	*f = append(*f, posthaste.Field{Name: name, Reason: reason})
}

// line checks a text of one line: valid, without control characters, not empty if needed, at most limit characters.
func (f *faults) line(name, text string, needed bool, limit int) {
	switch {
	case needed && strings.TrimSpace(text) == "":
		f.add(name, "must not be empty")
	case !utf8.ValidString(text):
		f.add(name, "must be valid UTF-8")
	case strings.ContainsFunc(text, unicode.IsControl):
		f.add(name, "must be one line without control characters")
	case utf8.RuneCountInString(text) > limit:
		f.add(name, fmt.Sprintf("must have at most %d characters", limit))
	}
}

// instant reads one; empty gives the zero one.
func (f *faults) instant(name, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		f.add(name, "must be a date and time with an offset, as in 2027-03-01T09:00:00Z")
	}
	return at
}

// text checks a text of many lines.
func (f *faults) text(name, text string, limit int) {
	switch {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		f.add(name, "must be valid UTF-8 without NUL")
	case len(text) > limit:
		f.add(name, fmt.Sprintf("must have at most %d bytes", limit))
	}
}

// onlyTrouble gives an error unless it says that something is not found, which is then a fault of the input.
func onlyTrouble(err error) error {
	if errors.Is(err, posthaste.NotFound) {
		return nil
	}
	return err
}

func (f faults) err() error { return posthaste.RefuseAll(f) }

// id reads a number from the path; what is none does not exist.
func id(c echo.Context, name string) (int64, error) {
	n, err := strconv.ParseInt(c.Param(name), 10, 64)
	if err != nil || n < 1 {
		return 0, &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such " + name}
	}
	return n, nil
}

// truth reads a query parameter that is true or false; false if it is not given.
func (f *faults) truth(c echo.Context, name string) bool {
	text := c.QueryParam(name)
	if text == "" {
		return false
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		f.add(name, "must be true or false")
	}
	return is
}

// stateOf reads the state to which a list is narrowed: one of those that there
// are, or none.
func stateOf[S ~string](f *faults, c echo.Context, states []S) S {
	text := c.QueryParam("state")
	if text == "" {
		return ""
	}
	f.oneOf("state", text, texts(states)...)
	return S(text)
}

func texts[S ~string](values []S) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return texts
}

// page reads the cursor and the size of a list; filters are the other
// parameters that it takes. A mistyped one must not show everything.
func page(c echo.Context, filters ...string) (cursor int64, limit int, err error) {
	limit = pageSize
	var f faults
	for name := range c.QueryParams() {
		if name != "cursor" && name != "limit" && !slices.Contains(filters, name) {
			f.add(name, "is not a parameter of this list; known are "+strings.Join(append(filters, "cursor", "limit"), ", "))
		}
	}
	if text := c.QueryParam("cursor"); text != "" {
		if cursor, err = strconv.ParseInt(text, 10, 64); err != nil || cursor < 0 {
			f.add("cursor", "must be the next_cursor of the page before")
		}
	}
	if text := c.QueryParam("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > pageAtMost {
			f.add("limit", fmt.Sprintf("must be a whole number from 1 to %d", pageAtMost))
		}
	}
	return cursor, limit, f.err()
}

// list is a page of things; NextCursor is empty on the last one.
type list[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// listOf makes a page of at most limit; the caller asked for one more, to know whether there is one.
func listOf[S, T any](found []S, limit int, view func(S) T, key func(S) int64) list[T] {
	out := list[T]{Items: make([]T, 0, min(len(found), limit))}
	for i, s := range found {
		if i == limit {
			out.NextCursor = strconv.FormatInt(key(found[i-1]), 10)
			break
		}
		out.Items = append(out.Items, view(s))
	}
	return out
}
