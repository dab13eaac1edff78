package api

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/web"
)

// NewKey makes an API key and the hash under which it is stored. The key holds
// 128 random bits, so a plain SHA-256 is enough.
func NewKey() (key string, hash []byte) {
	key = "ph_" + rand.Text()
	return key, HashKey(key)
}

// HashKey gives the hash under which a key is stored.
func HashKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// Authenticate lets only holders of a key pass: as a bearer token (RFC 6750
// §2.1), or, for a person with a browser, as the password of HTTP Basic with
// any user name (RFC 7617).
func Authenticate(keys Keys) echo.MiddlewareFunc {
	sameOrigin := http.NewCrossOriginProtection()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			// A browser sends a password that it knows for other sites too.
			if err := sameOrigin.Check(c.Request()); err != nil {
				return echo.NewHTTPError(http.StatusForbidden).SetInternal(err)
			}
			scheme, key, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
			if !strings.EqualFold(scheme, "Bearer") { // RFC 9110 §11.1
				_, key, _ = c.Request().BasicAuth()
			}
			name, err := keys.FindKey(c.Request().Context(), HashKey(strings.TrimSpace(key)))
			if errors.Is(err, posthaste.NotFound) {
				return &posthaste.Error{Kind: posthaste.Unauthorized,
					Message: "an API key is needed: Authorization: Bearer KEY; `posthaste key add NAME` makes one"}
			}
			if err != nil {
				return err
			}
			web.SetActor(c, name)
			return next(c)
		}
	}
}

// AskForKey makes a browser ask its user for the key.
func AskForKey(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if errors.Is(err, posthaste.Unauthorized) {
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Basic realm="posthaste", charset="UTF-8"`)
		}
		return err
	}
}
