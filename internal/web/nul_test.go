package web_test

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"

	"posthaste/internal/web"
)

// TestNoHandlerIsGivenANUL: PostgreSQL takes no NUL in any text, and neither
// database hears of one.
func TestNoHandlerIsGivenANUL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path            string
		documents, page int // what each kind of listener answers
	}{
		{"/x/a", 200, 200},
		{"/x/%00", 404, 404},
		{"/x/a%00b", 404, 404},
		{"/x/a%2f%00", 404, 404},
		{"/x/%2500", 200, 200}, // is the text %00
		{"/x/a?b=%00", 422, 200},
		{"/x/a?b=c%00d&e", 422, 200},
		{"/x/a?%00", 422, 200},
		{"/x/a?b=%2500", 200, 200},
		{"/x/a?b=%ff", 200, 200},
	} {
		for pages, want := range map[bool]int{false: c.documents, true: c.page} {
			e := web.New(web.Options{Name: "test", Pages: pages})
			called := false
			e.GET("/x/:key", func(c echo.Context) error { called = true; return c.NoContent(http.StatusOK) })
			if w := get(e, http.MethodGet, c.path); w.Code != want || called != (want == http.StatusOK) {
				t.Errorf("%s, pages %t: status %d, want %d; the handler was called: %t", c.path, pages, w.Code, want, called)
			}
		}
	}
}
