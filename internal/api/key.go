package api

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

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

// keyContext is where Authenticate puts the key.
const keyContext = "posthaste.key"

func keyOf(c echo.Context) posthaste.Key {
	k, _ := c.Get(keyContext).(posthaste.Key)
	return k
}

// Authenticate lets only holders of a key pass that works and has not made too
// many requests: as a bearer token (RFC 6750 §2.1), or, for a person with a
// browser, as the password of HTTP Basic with any user name (RFC 7617). The key
// is looked up at each request, so that a revocation holds at once.
func Authenticate(keys Keys, meter *Meter) echo.MiddlewareFunc {
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
			k, err := keys.FindKey(c.Request().Context(), HashKey(strings.TrimSpace(key)))
			if errors.Is(err, posthaste.NotFound) {
				return &posthaste.Error{Kind: posthaste.Unauthorized,
					Message: "an API key is needed: Authorization: Bearer KEY; `posthaste key add NAME` makes one"}
			}
			if err != nil {
				return err
			}
			if !k.Works(time.Now()) {
				return &posthaste.Error{Kind: posthaste.Unauthorized, Message: "this API key was revoked or has expired"}
			}
			c.Set(keyContext, k)
			if err := noteCaller(c, k); err != nil {
				return err
			}
			if err := limit(c, k, meter); err != nil {
				meter.count(k, "", http.StatusTooManyRequests)
				return err
			}
			return next(c)
		}
	}
}

// limit answers with the fields of draft-ietf-httpapi-ratelimit-headers, and
// refuses what is too much.
func limit(c echo.Context, k posthaste.Key, meter *Meter) error {
	if k.Rate == 0 {
		return nil
	}
	left, full, wait := meter.take(k)
	h := c.Response().Header()
	h.Set("RateLimit-Policy", fmt.Sprintf(`"minute";q=%d;w=60`, k.Rate))
	h.Set("RateLimit", fmt.Sprintf(`"minute";r=%d;t=%d`, left, seconds(full)))
	if wait == 0 {
		return nil
	}
	h.Set(echo.HeaderRetryAfter, strconv.Itoa(seconds(wait)))
	return &posthaste.Error{Kind: posthaste.Limited, Message: fmt.Sprintf("this key may make %d requests per minute; come again in %d seconds", k.Rate, seconds(wait))}
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// Require lets only keys with a scope pass, and counts what they do.
func Require(scope posthaste.Scope, meter *Meter) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			k := keyOf(c)
			if !k.May(scope) {
				meter.count(k, scope, http.StatusForbidden)
				return &posthaste.Error{Kind: posthaste.Forbidden, Message: fmt.Sprintf("this key lacks the scope %s", scope)}
			}
			err := next(c)
			status := c.Response().Status
			if err != nil {
				status = web.StatusOf(err)
			}
			meter.count(k, scope, status)
			return err
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
