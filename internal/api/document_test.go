package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// document is openapi.yaml with its schemas compiled: once, for all tests.
type document struct {
	root       map[string]any
	operations map[string]operation          // "GET /topics/{topic}"
	schemas    map[string]*jsonschema.Schema // by JSON pointer
}

// operation is one of the document's, and where it stands there.
type operation struct {
	ID, Method, Path string
	object           map[string]any
	pointer          string
}

var openDocument = sync.OnceValues(readDocument)

func theDocument(tb testing.TB) *document {
	tb.Helper()
	d, err := openDocument()
	must(tb, err)
	return d
}

func readDocument() (*document, error) {
	source, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	var plain any
	if err := yaml.Unmarshal(source, &plain); err != nil {
		return nil, err
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	d := &document{operations: map[string]operation{}, schemas: map[string]*jsonschema.Schema{}}
	d.root, _ = whole.(map[string]any)
	for path, item := range child(d.root, "paths") {
		for method := range object(item) {
			o := operation{Method: strings.ToUpper(method), Path: path, object: child(item, method), pointer: "/paths/" + escape(path) + "/" + method}
			o.ID, _ = o.object["operationId"].(string)
			d.operations[o.Method+" "+path] = o
		}
	}
	return d, d.compile()
}

// compile compiles every schema, wherever it stands, under draft 2020-12.
func (d *document) compile() error {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(jsonschema.SchemeURLLoader{}) // nothing is fetched
	if err := compiler.AddResource("openapi.json", d.root); err != nil {
		return err
	}
	var faults []error
	d.visit("", d.root, func(pointer string, _ map[string]any, isSchema bool) {
		if !isSchema {
			return
		}
		at := url.URL{Path: "openapi.json", Fragment: pointer}
		compiled, err := compiler.Compile(at.String())
		if err != nil {
			faults = append(faults, err)
		}
		d.schemas[pointer] = compiled
	})
	return errors.Join(faults...)
}

// visit goes through the objects of the document, but not into examples; of a
// schema it shows the outermost part only.
func (d *document) visit(pointer string, node any, each func(pointer string, object map[string]any, isSchema bool)) {
	if list, ok := node.([]any); ok {
		for i, item := range list {
			d.visit(fmt.Sprintf("%s/%d", pointer, i), item, each)
		}
		return
	}
	isSchema := strings.HasSuffix(pointer, "/schema") || strings.HasPrefix(pointer, "/components/schemas/")
	if node, ok := node.(map[string]any); ok {
		each(pointer, node, isSchema)
		for name, inner := range node {
			if !isSchema && name != "example" && name != "examples" {
				d.visit(pointer+"/"+escape(name), inner, each)
			}
		}
	}
}

func object(node any) map[string]any                    { m, _ := node.(map[string]any); return m }
func child(node any, name string) map[string]any        { return object(object(node)[name]) }
func text(node map[string]any, name string) string      { t, _ := node[name].(string); return t }
func list(node map[string]any, name string) []any       { l, _ := node[name].([]any); return l }
func escape(name string) string                         { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }
func fault(format string, args ...any) (faults []error) { return []error{fmt.Errorf(format, args...)} }

// find gives what a JSON pointer leads to, or nil.
func (d *document) find(pointer string) any {
	var node any = d.root
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		if items, ok := node.([]any); ok {
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(items) {
				return nil
			}
			node = items[i]
			continue
		}
		node = object(node)[part]
	}
	return node
}

// follow gives an object and its pointer, or those that it refers to.
func (d *document) follow(pointer string) (map[string]any, string) {
	node := object(d.find(pointer))
	if ref, ok := node["$ref"].(string); ok {
		return d.follow(strings.TrimPrefix(ref, "#"))
	}
	return node, pointer
}

// parameters gives the pointers of those of an operation by their names.
func (d *document) parameters(o operation) map[string]string {
	all := map[string]string{}
	for i := range list(o.object, "parameters") {
		p, at := d.follow(fmt.Sprintf("%s/parameters/%d", o.pointer, i))
		all[text(p, "name")] = at
	}
	return all
}

// documented holds an answer against the document. What no route took is no
// answer of an operation.
func (h *house) documented(r *http.Request, body string, w *httptest.ResponseRecorder) {
	h.tb.Helper()
	router, ok := h.handler.(*echo.Echo)
	if !ok {
		h.tb.Fatal("no router")
	}
	c := router.NewContext(r, w)
	router.Router().Find(r.Method, echo.GetPath(r), c)
	d := theDocument(h.tb)
	o, known := d.operations[r.Method+" "+templated(strings.TrimPrefix(c.Path(), "/api/v1"))]
	if !known {
		return
	}
	faults := d.checkAnswer(o, w)
	if w.Code < 300 {
		faults = append(faults, d.checkRequest(o, r, body)...)
	}
	for _, err := range faults {
		h.tb.Errorf("%s %s: %d %.300s\nis not what %s documents: %v", r.Method, r.URL, w.Code, w.Body, o.ID, err)
	}
}

// templated writes a path of the router as the document has it.
func templated(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func (d *document) checkAnswer(o operation, w *httptest.ResponseRecorder) (faults []error) {
	response, pointer := d.follow(fmt.Sprintf("%s/responses/%d", o.pointer, w.Code))
	if response == nil {
		return fault("the status %d is not documented", w.Code)
	}
	for name := range child(response, "headers") {
		header, at := d.follow(pointer + "/headers/" + escape(name))
		value := w.Header().Get(name)
		if value == "" && header["required"] == true {
			faults = append(faults, fault("the header %s is missing", name)...)
		} else if value != "" {
			faults = append(faults, d.checkText(at+"/schema", name, value)...)
		}
	}
	content := child(response, "content")
	if len(content) == 0 {
		if w.Body.Len() > 0 {
			faults = append(faults, fault("a body of this status is not documented")...)
		}
		return faults
	}
	kind, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil || content[kind] == nil {
		return append(faults, fault("the content type %q is not documented", w.Header().Get("Content-Type"))...)
	}
	if !strings.HasSuffix(kind, "json") {
		return faults // a file, which its own tests read
	}
	return append(faults, d.checkJSON(pointer+"/content/"+escape(kind)+"/schema", w.Body.String())...)
}

// checkRequest holds a request that was taken against the document: what it
// refuses must not succeed.
func (d *document) checkRequest(o operation, r *http.Request, body string) (faults []error) {
	known := d.parameters(o)
	for name, values := range r.URL.Query() {
		if text(object(d.find(known[name])), "in") != "query" {
			faults = append(faults, fault("the query parameter %s is not documented", name)...)
			continue
		}
		faults = append(faults, d.checkText(known[name]+"/schema", name, values[0])...)
	}
	request, pointer := d.follow(o.pointer + "/requestBody")
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case body == "":
	case child(request, "content")[kind] == nil:
		faults = append(faults, fault("a request body of type %q is not documented", kind)...)
	case kind == "application/json":
		faults = append(faults, d.checkJSON(pointer+"/content/"+escape(kind)+"/schema", body)...)
	}
	return faults
}

func (d *document) checkJSON(schema, body string) []error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return fault("it is no JSON: %w", err)
	}
	if err := d.schemas[schema].Validate(value); err != nil {
		return []error{err}
	}
	return nil
}

// checkText holds a parameter or a header against its schema: as a text, or as
// the number or truth value that it may stand for.
func (d *document) checkText(schema, name, value string) []error {
	err := d.schemas[schema].Validate(value)
	if err == nil {
		return nil
	}
	if plain, bad := jsonschema.UnmarshalJSON(strings.NewReader(value)); bad == nil && d.schemas[schema].Validate(plain) == nil {
		return nil
	}
	return fault("%s: %w", name, err)
}
