package recipientfile_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	_ "time/tzdata" // the zones of the tables, on machines without them

	"posthaste"
	"posthaste/internal/recipientfile"
)

// read gives every row, in one line of text each, and every rejection.
func read(t testing.TB, in io.Reader) (rows, rejected []string, err error) {
	t.Helper()
	r, err := recipientfile.NewReader(in)
	if err != nil {
		return nil, nil, err
	}
	for {
		row, rejection, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return rows, rejected, nil
		case err != nil:
			return rows, rejected, err
		case row != nil && rejection == nil:
			text := fmt.Sprintf("%d %s|%s|%s|%s", row.Line, row.Email, row.Name, row.Locale, row.TimeZone)
			for _, a := range row.Attributes {
				text += fmt.Sprintf("|%s=%s", a.Name, a.Value)
			}
			rows = append(rows, text)
		case row == nil && rejection != nil:
			rejected = append(rejected, fmt.Sprintf("%d %s", rejection.Line, rejection.Reason))
		default:
			t.Fatalf("Next gave %v and %v", row, rejection)
		}
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	tests := []struct {
		name, in       string
		rows, rejected []string // of a rejection, its beginning
	}{
		{"all columns", "email,name,locale,time_zone,city\nana@Example.com,Ana Lima,pt-BR,America/Sao_Paulo,Recife\n",
			[]string{"2 ana@example.com|Ana Lima|pt-BR|America/Sao_Paulo|city=Recife"}, nil},
		{"only addresses", "email\na@example.com\nb@example.com", []string{"2 a@example.com|||", "3 b@example.com|||"}, nil},
		{"header only", "email,name\n", nil, nil},
		{"byte order mark", "\ufeffemail,name\na@example.com,A\n", []string{"2 a@example.com|A||"}, nil},
		{"CR LF", "email,x\r\na@example.com,1\r\n\r\nb@example.com,2\r\n", []string{"2 a@example.com||||x=1", "4 b@example.com||||x=2"}, nil},
		{"CR only", "email,x\ra@example.com,1\rb@example.com,2", []string{"2 a@example.com||||x=1", "3 b@example.com||||x=2"}, nil},
		{"semicolons", "Name;E-Mail\n\"Lima; Ana\";a@example.com\n", []string{"2 a@example.com|Lima; Ana||"}, nil},
		{"tabs", "e-mail\tName\na@example.com\tLima, Ana\n", []string{"2 a@example.com|Lima, Ana||"}, nil},
		{"separators in a quoted header", "\"Home\tCity\tName\",email\nKöln,a@example.com\n", []string{"2 a@example.com||||home_city_name=Köln"}, nil},
		{"first and last name", "Vorname,Nachname,E-Mail-Adresse\nAna,Lima,a@example.com\nAna,,b@example.com\n,Lima,c@example.com\n,,d@example.com\n",
			[]string{"2 a@example.com|Ana Lima||", "3 b@example.com|Ana||", "4 c@example.com|Lima||", "5 d@example.com|||"}, nil},
		{"last before first name", "last name,FIRST_NAME,mail\nLima,Ana,a@example.com\n", []string{"2 a@example.com|Ana Lima||"}, nil},
		{"whole name beside first name", "name,first name,email\nAna Lima,Ana,a@example.com\n", []string{"2 a@example.com|Ana Lima|||first_name=Ana"}, nil},
		{"aliases", "Email Address,Language,Time Zone\na@example.com,de_AT,Europe/Vienna\n", []string{"2 a@example.com||de-AT|Europe/Vienna"}, nil},
		{"attribute names", "email,Favourite Colour,order-no.,ID2\na@example.com,red,7,x\n", []string{"2 a@example.com||||favourite_colour=red|order_no=7|id2=x"}, nil},
		{"empty cells", "email,a,b,c\na@example.com,,2,\n", []string{"2 a@example.com||||b=2"}, nil},
		{"cells are text", "email,a\na@example.com,\"=HYPERLINK(\"\"x\"\")\"\n", []string{`2 a@example.com||||a==HYPERLINK("x")`}, nil},
		{"attribute as given", "email,a\na@example.com,\" x \"\n", []string{"2 a@example.com||||a= x "}, nil},
		{"spaces around what is checked", "email,name,locale,tz\n a@example.com , Ana , en , UTC \n", []string{"2 a@example.com|Ana|en|UTC"}, nil},
		{"quoted newlines", "email,a,b\na@example.com,\"1\n2\r\n3\r4\",x\nb@example.com,,y\n",
			[]string{"2 a@example.com||||a=1\n2\r\n3\r4|b=x", "6 b@example.com||||b=y"}, nil},
		{"quotes at the end of the file", "email,a\na@example.com,\"x\"", []string{"2 a@example.com||||a=x"}, nil},
		{"empty quotes", "email,a\na@example.com,\"\"\n", []string{"2 a@example.com|||"}, nil},
		{"NUL", "email,na\x00me\na@exa\x00mple.com,\x00A\x00\n", []string{"2 a@example.com|A||"}, nil},
		{"IDN and case", "email\nAna@BÜCHER.example\n", []string{"2 Ana@xn--bcher-kva.example|||"}, nil},
		{"bad address", "email\nana\nb@example.com\n", []string{"3 b@example.com|||"}, []string{"2 email has no @"}},
		{"no address", "email,a\n,x\nb@example.com,\n", []string{"3 b@example.com|||"}, []string{"2 email is empty"}},
		{"too few and too many", "email,a\na@example.com\nb@example.com,1,2\nc@example.com,3\n", []string{"4 c@example.com||||a=3"},
			[]string{"2 has 1 cells where the first line names 2", "3 has 3 cells"}},
		{"thousands of cells", "email\n" + strings.Repeat(",", 5000) + "\na@example.com\n", []string{"3 a@example.com|||"}, []string{"2 has 5001 cells"}},
		{"not UTF-8", "email,a\na@example.com,\xe4\nb@example.com,ä\n", []string{"3 b@example.com||||a=ä"}, []string{"2 is not UTF-8"}},
		{"a letter cut by a separator", "email,a,b\na@example.com,\xc3,\xa4\n", nil, []string{"2 is not UTF-8"}},
		{"header injection by name", "email,name\na@example.com,\"Bob\r\nBcc: x@example.com\"\nb@example.com,B\n", []string{"4 b@example.com|B||"},
			[]string{"2 name has a line break"}},
		{"header injection by first name", "email,first name\na@example.com,\"Bob\nBcc: x\"\n", nil, []string{"2 name has a line break"}},
		{"header injection by address", "email\n\"a@example.com\r\nBcc: x\"\nb@example.com\n", []string{"4 b@example.com|||"}, []string{"2 email has"}},
		{"control character in name", "email,name\na@example.com,B\x1bb\n", nil, []string{"2 name has a control"}},
		{"long name", "email,name\na@example.com," + strings.Repeat("ö", 501) + "\nb@example.com," + strings.Repeat("ö", 500) + "\n",
			[]string{"3 b@example.com|" + strings.Repeat("ö", 500) + "||"}, []string{"2 name is longer than 500"}},
		{"long value", "email,a\na@example.com," + strings.Repeat("ö", 10_001) + "\nb@example.com," + strings.Repeat("ö", 10_000) + "\n",
			[]string{"3 b@example.com||||a=" + strings.Repeat("ö", 10_000)}, []string{"2 a is longer than 10,000"}},
		{"locales", "email,locale\na@example.com,xx-invalid-tag-!\nb@example.com,zz\nc@example.com,zh-hant-tw\n", []string{"4 c@example.com||zh-Hant-TW|"},
			[]string{"2 locale is not known", "3 locale is not known"}},
		{"time zones", "email,tz\na@example.com,Local\nb@example.com,Mars/Base\nc@example.com,../zone\nd@example.com," + strings.Repeat("z", 999) + "\ne@example.com,UTC\n",
			[]string{"6 e@example.com|||UTC"}, []string{"2 time zone", "3 time zone", "4 time zone", "5 time zone"}},
		{"bare quote", "email,a\na@example.com,5\" disk\nb@example.com,x\n", []string{"3 b@example.com||||a=x"}, []string{"2 has a quote inside"}},
		{"text after quotes", "email,a\na@example.com,\"x\"y\nb@example.com,x\n", []string{"3 b@example.com||||a=x"}, []string{"2 has a quote that is not closed"}},
		{"unterminated quote", "email,a\na@example.com,\"x\nb@example.com,y\nc@example.com,z\n",
			[]string{"3 b@example.com||||a=y", "4 c@example.com||||a=z"}, []string{"2 opens a quote that is never closed"}},
		{"unterminated quote before a quoted cell", "email,a\na@example.com,\"x\nb@example.com,\"y\"\nc@example.com,z\n",
			[]string{"3 b@example.com||||a=y", "4 c@example.com||||a=z"}, []string{"2 has a quote that is not closed"}},
		{"unterminated quote in the third line of a record", "email,a,b\na@example.com,\"1\n2\n3\",\"x\nb@example.com,,y\n",
			[]string{"5 b@example.com||||b=y"}, []string{"4 opens a quote that is never closed"}},
		{"unterminated quote in the last line", "email,a\nb@example.com,y\na@example.com,\"", []string{"2 b@example.com||||a=y"}, []string{"3 opens"}},
		{"unterminated quote in a long file", "email,a\na@example.com,\"x\n" + strings.Repeat("b@example.com\n", 100_000) + "c@example.com,z\n",
			[]string{"100003 c@example.com||||a=z"}, []string{"2 opens a quote that is not closed within 1 MB"}},
		{"long record", "email,a\na@example.com," + long + long + long + "\nb@example.com,y\n", []string{"3 b@example.com||||a=y"}, []string{"2 is longer than 1 MB"}},
		{"long quoted record", "email,a\na@example.com,\"" + long + long + "\"\r\nb@example.com,y\r\n", []string{"3 b@example.com||||a=y"}, []string{"2 opens a quote that is not closed within"}},
		{"long record at the end", "email,a\nb@example.com,y\na@example.com," + long + long, []string{"2 b@example.com||||a=y"}, []string{"3 is longer than 1 MB"}},
		{"record of exactly 1 MB", "email\n" + long + "\r\nb@example.com\r\n", []string{"3 b@example.com|||"}, []string{"2 email is longer"}},
		{"record of 1 MB and one", "email\n" + long + "x\r\nb@example.com\r\n", []string{"3 b@example.com|||"}, []string{"2 is longer than 1 MB"}},
		{"record of 1 MB and two", "email\n" + long + "xx\r\nb@example.com\r\n", []string{"3 b@example.com|||"}, []string{"2 is longer than 1 MB"}},
		{"quoted record of exactly 1 MB", "email\n\"" + long[2:] + "\"\r\nb@example.com\r\n", []string{"3 b@example.com|||"}, []string{"2 email is longer"}},
		{"quoted record of 1 MB and two", "email\n\"" + long + "\",x\nb@example.com\n", []string{"3 b@example.com|||"}, []string{"2 is longer than 1 MB"}},
		{"blank lines", "email\n\n\r\n\ra@example.com\n\n", []string{"5 a@example.com|||"}, nil},
		{"cells all empty", "email,a\n,\n", nil, []string{"2 email is empty"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, reader := range []io.Reader{
				strings.NewReader(tt.in), iotest.HalfReader(strings.NewReader(tt.in)), iotest.DataErrReader(strings.NewReader(tt.in)), oneByte(tt.in),
			} {
				rows, rejected, err := read(t, reader)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(rows, tt.rows) {
					t.Errorf("rows\n%.300q, want\n%.300q", rows, tt.rows)
				}
				compareRejected(t, rejected, tt.rejected)
			}
		})
	}
}

// oneByte reads byte by byte what is short, and by halves what is not.
func oneByte(in string) io.Reader {
	if len(in) < 10_000 {
		return iotest.OneByteReader(strings.NewReader(in))
	}
	return iotest.HalfReader(strings.NewReader(in))
}

// compareRejected allows for the wrong rows that follow a long unterminated quote.
func compareRejected(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) > 10 {
		got = got[:1]
	}
	if len(got) != len(want) {
		t.Fatalf("rejected\n%q, want\n%q", got, want)
	}
	for i := range got {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("rejected %q, want %q", got[i], want[i])
		}
		if len(got[i]) > 120 || strings.Contains(got[i], "example") {
			t.Errorf("%q quotes its line", got[i])
		}
	}
}

func TestHeaderRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, reason string }{
		{"empty file", "", "is empty"},
		{"only a mark", "\ufeff", "is empty"},
		{"blank first line", "\nemail\n", "is blank"},
		{"UTF-16 little endian", "\xff\xfee\x00m\x00", "UTF-16"},
		{"UTF-16 big endian", "\xfe\xff\x00e\x00m", "UTF-16"},
		{"UTF-16 without a mark", "e\x00m\x00a\x00", "UTF-16"},
		{"UTF-32", "\x00\x00\xfe\xff", "UTF-16"},
		{"not UTF-8", "email,gr\xf6\xdfe\n", "UTF-8"},
		{"a letter cut by a separator", "email,\xc3,\xa4\n", "UTF-8"},
		{"no email column", "name,city\n", `"email"`},
		{"two email columns", "email,name,E-Mail\n", `columns 1 and 3 ("E-Mail")`},
		{"two names", "name,Full Name,email\n", "columns 1 and 2"},
		{"two locales", "lang,locale,email\n", "columns 1 and 2"},
		{"two attributes", "email,Home City,home_city\n", `columns 2 and 3 ("home_city") have the same name`},
		{"attribute and kept first name", "email,name,first name,first.name\n", "columns 3 and 4"},
		{"attribute beyond ASCII", "email,Größe\n", `column 2 ("Größe")`},
		{"attribute with a digit first", "email,2nd\n", "column 2"},
		{"attribute with no name", "email,,x\n", "column 2"},
		{"long attribute", "email," + strings.Repeat("a", 65) + "\n", `column 2 ("` + strings.Repeat("a", 40) + `…")`},
		{"no header at all", "Ana,ana@example.com\n", "column 2 holds an address"},
		{"101 columns", "email" + strings.Repeat(",a", 100) + "\n", "101 columns"},
		{"open quote", "email,\"a\nb@example.com,x\n", "quote"},
		{"endless line", strings.Repeat("a", 3<<20), "1 MB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := recipientfile.NewReader(strings.NewReader(tt.in))
			if r != nil || !errors.Is(err, posthaste.Invalid) {
				t.Fatalf("NewReader: %v, %v", r, err)
			}
			fields := posthaste.FieldsOf(err)
			if len(fields) != 1 || fields[0].Name != "line 1" || !strings.Contains(fields[0].Reason, tt.reason) {
				t.Errorf("%+v, want one of line 1 about %q", fields, tt.reason)
			}
			if strings.Contains(err.Error(), "example.com") {
				t.Errorf("%q quotes an address", err)
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	r, err := recipientfile.NewReader(strings.NewReader("City,email,Shoe Size,name\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Attributes(), []string{"city", "shoe_size"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Attributes = %q, want %q", got, want)
	}
}

func TestHundredColumns(t *testing.T) {
	t.Parallel()
	header, cells := "email", "a@example.com"
	for i := range 99 {
		header += fmt.Sprintf(",a%d", i)
		cells += ",x"
	}
	rows, rejected, err := read(t, strings.NewReader(header+"\n"+cells+"\n"))
	if err != nil || len(rejected) != 0 || len(rows) != 1 || strings.Count(rows[0], "=x") != 99 {
		t.Errorf("%q, %q, %v", rows, rejected, err)
	}
}

func TestReadErrorEndsTheReading(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tail := range []string{"b@exam", "b@example.com,\"x", "b@example.com,x\n"} {
		in := io.MultiReader(strings.NewReader("email,a\na@example.com,x\n"+tail), iotest.ErrReader(broken))
		r, err := recipientfile.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		if row, _, err := r.Next(); err != nil || row.Email != "a@example.com" {
			t.Fatal(row, err)
		}
		for err == nil {
			_, _, err = r.Next()
		}
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("after %q: %v", tail, err)
		}
		if _, _, again := r.Next(); !errors.Is(again, broken) {
			t.Errorf("after %q and the error: %v", tail, again)
		}
	}
}

// What a row held stays true after the next one was read.
func TestRowStringsStay(t *testing.T) {
	t.Parallel()
	r, err := recipientfile.NewReader(strings.NewReader("email,name,a\na@example.com,Ana,1\nb@example.com,Bob,2\n"))
	if err != nil {
		t.Fatal(err)
	}
	row, _, _ := r.Next()
	first, value := *row, row.Attributes[0].Value
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if first.Email != "a@example.com" || first.Name != "Ana" || value != "1" || row.Email != "b@example.com" {
		t.Errorf("%+v, %q, %+v", first, value, *row)
	}
}
