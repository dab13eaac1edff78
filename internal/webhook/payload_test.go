package webhook_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/webhook"
)

func TestPayload(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 13, 0, 5, 0, time.FixedZone("", 3600))
	metadata := map[string]string{"order": "20261124001", "phone": "030 1234567"}
	for _, tt := range []struct {
		name string
		data map[string]any
		want string
	}{
		{"some", map[string]any{"id": 7}, `{"type":"notice.bounced","timestamp":"2026-11-24T12:00:05Z","data":{"id":7}}`},
		{"none", nil, `{"type":"notice.bounced","timestamp":"2026-11-24T12:00:05Z","data":{}}`},
		{"a phone number", map[string]any{"metadata": metadata}, `{"type":"notice.bounced","timestamp":"2026-11-24T12:00:05Z","data":{"metadata":{"order":"20261124001"}}}`},
	} {
		got, err := webhook.Payload(posthaste.NoticeHasBounced, at, tt.data)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
	if len(metadata) != 2 {
		t.Errorf("the caller's metadata became %v", metadata)
	}
}

func TestPayloadRefusesWhatNobodyMayBeTold(t *testing.T) {
	t.Parallel()
	for _, event := range []posthaste.EventName{"consent.given", ""} {
		if got, err := webhook.Payload(event, time.Now(), nil); !errors.Is(err, posthaste.Invalid) {
			t.Errorf("%q: %s, %v", event, got, err)
		}
	}
	for _, event := range posthaste.EventNames {
		if _, err := webhook.Payload(event, time.Now(), nil); err != nil {
			t.Errorf("%q: %v", event, err)
		}
	}
}

func TestWithoutPhonesGoesByTheName(t *testing.T) {
	t.Parallel()
	for name, stays := range map[string]bool{
		"phone": false, "Phone": false, "PHONE": false, "phones": false, "phone_number": false, "phone-number": false, "phone number": false,
		"phoneNumber": false, "PhoneNumber": false, "PHONENUMBER": false, "homePhone": false, "home_phone_2": false, "phone2": false,
		"customer.phone": false, "mobile": false, "mobile_no": false, "mobileNo": false, "cell": false, "cell-phone": false, "tel": false,
		"billingTel": false, "TEL": false, "SMSMobile": false, "telephone": false, "msisdn": false, "userMSISDN": false, "fax": false,
		"Fax-Nr": false, "whatsapp": false, "userWhatsApp": false, "what's app": false, "handy": false, "Handynummer": false, "portable": false,
		"téléphone": false, "TÉLÉPHONE": false, "+49301234567": false,
		"order": true, "cancelled": true, "cellar": true, "telemetry": true, "hotel": true, "motel_name": true, "microphone": true,
		"immobile": true, "email": true, "number": true, "id": true, "": true,
	} {
		got := webhook.WithoutPhones(map[string]string{name: "x", "other": "y"})
		want := map[string]string{"other": "y"}
		if stays {
			want[name] = "x"
		}
		if !maps.Equal(got, want) {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestWithoutPhonesGoesByTheValue(t *testing.T) {
	t.Parallel()
	for value, stays := range map[string]bool{
		"+49301234567": false, "+49 30 123-45.67": false, "+49 (0)30/1234567": false, "(+49) 30 1234567": false, " +49301234567\n": false,
		"0049301234567": false, "00 49 30 1234567": false, "0062 812 3456 78901": false, "tel:+49-30-1234567": false, "TEL:030 1234567": false,
		"tel:+49301234567;ext=5": false, "+49\u00a030\u20111234567": false, "\u202a+49301234567\u202c": false, "＋49301234567": false,
		"+1234567": false, "+123456789012345": false,
		"20261124001": true, "2026-11-24": true, "030 1234567": true, "+123456": true, "+1234567890123456": true, "00123": true,
		"+49 30 1234567 ext 5": true, "+abc1234567": true, "12+34567890": true, "1.50": true, "000000000000000000": true, "tel:": true, "": true,
	} {
		got := webhook.WithoutPhones(map[string]string{"reference": value})
		if _, ok := got["reference"]; ok != stays {
			t.Errorf("%q: %v, want it to stay: %v", value, got, stays)
		}
	}
}

func TestWithoutPhonesGivesACopy(t *testing.T) {
	t.Parallel()
	in := map[string]string{"tel": "1", "a": "b"}
	webhook.WithoutPhones(in)["c"] = "d"
	if diff := cmp.Diff(map[string]string{"tel": "1", "a": "b"}, in); diff != "" {
		t.Errorf("the argument changed (-want +got):\n%s", diff)
	}
	if got := webhook.WithoutPhones(nil); got == nil || len(got) != 0 {
		t.Errorf("of nil: %v, want an empty map", got)
	}
}
