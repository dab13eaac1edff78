package smtpclient_test

import (
	"testing"

	"posthaste/mailer/smtpclient"
)

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		code     int // 0: an error
		text     string
	}{
		{"one line", "250 ok\r\n", 250, "ok"},
		{"no text", "250 \r\n", 250, ""},
		{"only a code", "250\r\n", 250, ""},
		{"LF alone", "250 ok\n", 250, "ok"},
		{"several lines", "550-5.1.1 no\r\n550 5.1.1 such user\r\n", 550, "5.1.1 no\n5.1.1 such user"},
		{"bare last line", "550-no\r\n550\r\n", 550, "no\n"},
		{"a line without code", "550-no\r\nsuch\r\n550 user\r\n", 550, "no\nsuch\nuser"},
		{"another code amid", "550-no\r\n250 ok\r\n550 user\r\n", 550, "no\n250 ok\nuser"},
		{"empty lines before", "\r\n\r\n250 ok\r\n", 250, "ok"},
		{"empty line amid", "550-no\r\n\r\n550 user\r\n", 550, "no\n\nuser"},
		{"no digits", "hello\r\n", 0, ""},
		{"four digits", "2500 ok\r\n", 0, ""},
		{"1xx", "150 ok\r\n", 0, ""},
		{"9xx", "999 ok\r\n", 0, ""},
		{"cut off", "250 o", 0, ""},
		{"cut off amid", "550-no\r\n", 0, ""},
		{"nothing", "", 0, ""},
	} {
		code, text, err := smtpclient.ReadAnswer(tt.in)
		if (err != nil) != (tt.code == 0) || code != tt.code || text != tt.text {
			t.Errorf("%s: %d %q %v, want %d %q", tt.name, code, text, err, tt.code, tt.text)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add("\r\n550-5.1.1 no\r\nx\r\n550\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		code, _, err := smtpclient.ReadAnswer(in)
		if (err == nil) != (code >= 200 && code < 600) {
			t.Errorf("code %d, error %v", code, err)
		}
	})
}
