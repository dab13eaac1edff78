package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"
)

// documentYAML describes the API: OpenAPI 3.1.0, with JSON Schema 2020-12.
//
//go:embed openapi.yaml
var documentYAML []byte

// documentLife is how long a client may keep the document, in the words of RFC
// 9111: an upgrade is seen soon.
const documentLife = "public, max-age=300"

// document makes the handler that serves the API's description as JSON. It is
// the same for everybody, so it needs no key; it is converted at the first request.
func document() echo.HandlerFunc {
	converted := sync.OnceValues(documentJSON)
	return func(c echo.Context) error {
		text, err := converted()
		if err != nil {
			return err
		}
		c.Response().Header().Set(echo.HeaderCacheControl, documentLife)
		return c.JSONBlob(http.StatusOK, text)
	}
}

func documentJSON() ([]byte, error) {
	var whole map[string]any
	if err := yaml.Unmarshal(documentYAML, &whole); err != nil {
		return nil, fmt.Errorf("read the API's description: %w", err)
	}
	return json.Marshal(whole)
}
