package pages

import (
	"errors"
	"fmt"
	"io"
	"net/url"
)

// WriteEmbed writes the form of WriteSignUp as a fragment to be pasted into any
// site: plain HTML without style or script, with class names that begin with
// posthaste-, and no ids, so that it can stand on a page twice. It shows nothing
// that a person entered or ticked. The Action must be an absolute address of http or https.
func WriteEmbed(w io.Writer, p SignUp) error {
	to, err := absolute(p.Action)
	if err != nil {
		return fmt.Errorf("write form for other sites: %w", err)
	}
	s := load()
	p.Action = to
	return s.write(w, "embed", newSignUpView(s.texts(p.Lang), p))
}

// absolute gives an address as it can stand outside of our own pages. The error
// does not name it: it may bear a token.
func absolute(address string) (string, error) {
	to, err := url.Parse(address)
	if err != nil || to.Host == "" || clean(to.Host) != to.Host || to.Scheme != "https" && to.Scheme != "http" {
		return "", errors.New("the address is not an absolute one of http or https")
	}
	return to.String(), nil
}
