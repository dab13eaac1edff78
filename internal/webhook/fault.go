package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
)

// faultOf says in a few words why there was no answer. It never uses the text
// of an error of the HTTP client, since that holds the URL with its query.
func (s *Sender) faultOf(err error) string {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.Error()
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return "no answer within " + s.client.Timeout.String()
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		if lookup.IsNotFound {
			return "the host name does not exist"
		}
		return "the host name could not be looked up"
	}
	if fault := tlsFault(err); fault != "" {
		return fault
	}
	switch {
	case errors.Is(err, errPlain):
		return errPlain.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the host cannot be reached"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was lost"
	}
	return "the exchange failed"
}

// tlsFault is about the certificate or the handshake; empty: it was neither.
func tlsFault(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another name"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the certificate has expired or is not valid yet"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate is not trusted"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return "the host does not speak TLS"
	}
	// The alerts of TLS have no exported type, only this mark.
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return "the TLS handshake failed"
	}
	return ""
}

// faultOfStatus is about an answer that came; empty: it was a success.
func faultOfStatus(status int) string {
	switch status / 100 {
	case 2:
		return ""
	case 3:
		return "answered " + strconv.Itoa(status) + "; redirects are not followed"
	}
	return "answered " + strconv.Itoa(status)
}
