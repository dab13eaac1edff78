package posthaste

import (
	"errors"
	"slices"
)

// Kind says what sort of trouble an Error is. It is itself an error, so that
// errors.Is(err, posthaste.NotFound) asks for it through any wrapping.
type Kind string

// The kinds. internal/store and internal/web are the only places that
// translate them, from driver errors and to HTTP.
const (
	// Invalid: the caller's input is at fault; Fields names where.
	Invalid Kind = "invalid"
	// NotFound: nothing has that id, key or address.
	NotFound Kind = "not found"
	// Conflict: the request does not fit the present state.
	Conflict Kind = "conflict"
	// Unauthorized: no key, or one that is not known.
	Unauthorized Kind = "unauthorized"
	// Forbidden: the key is known and may not do this.
	Forbidden Kind = "forbidden"
	// Limited: too many requests; Message says when to come again.
	Limited Kind = "limited"
	// TooLarge: the input is past a stated limit.
	TooLarge Kind = "too large"
	// Unavailable: a part that is needed does not answer; trying again later may help.
	Unavailable Kind = "unavailable"
)

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Field is one fault of an input, at the place where its author finds it.
type Field struct {
	Name   string `json:"name"`   // as the author wrote it: "body", "tracking.opens", "line 3"
	Reason string `json:"reason"` // what is wrong and, where it can be said, what would be right
}

// Error is the one error type whose message is meant for the person who made the request.
type Error struct {
	Kind    Kind
	Message string
	Fields  []Field
	Err     error // the cause, for logs; never shown
}

// Error gives the message and, for logs, its cause.
func (e *Error) Error() string {
	text := e.Message
	for _, f := range e.Fields {
		text += "; " + f.Name + ": " + f.Reason
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Is reports whether target is this error's kind.
func (e *Error) Is(target error) bool { return target == e.Kind }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refuse is an Invalid error about one field.
func Refuse(field, reason string) *Error {
	return &Error{Kind: Invalid, Message: "the input is not valid", Fields: []Field{{Name: field, Reason: reason}}}
}

// RefuseAll is an Invalid error about all the given fields, or nil when there are none.
func RefuseAll(fields []Field) error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Message: "the input is not valid", Fields: fields}
}

// FieldsAs gives the field faults that err carries, under the name that their
// author knows the value by.
func FieldsAs(err error, name string) []Field {
	fields := slices.Clone(FieldsOf(err))
	for i := range fields {
		fields[i].Name = name
	}
	return fields
}

// FieldsOf gives the field faults that err carries, if any.
func FieldsOf(err error) []Field {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Fields
	}
	return nil
}
