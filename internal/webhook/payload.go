package webhook

import (
	"encoding/json"
	"slices"
	"time"

	"posthaste"
)

// Payload gives the body of a message: {"type", "timestamp" (RFC 3339, UTC),
// "data"}. Metadata in data, which is whatever is a map[string]string, loses its
// phone numbers here, so that no caller can forget it. An event that is not
// in posthaste.EventNames is refused: nothing else may be told.
func Payload(event posthaste.EventName, at time.Time, data map[string]any) ([]byte, error) {
	if !slices.Contains(posthaste.EventNames, event) {
		return nil, posthaste.Refuse("type", "there is no such event")
	}
	told := make(map[string]any, len(data))
	for name, value := range data {
		if metadata, ok := value.(map[string]string); ok {
			value = WithoutPhones(metadata)
		}
		told[name] = value
	}
	return json.Marshal(struct {
		Type      posthaste.EventName `json:"type"`
		Timestamp time.Time           `json:"timestamp"`
		Data      map[string]any      `json:"data"`
	}{event, at.UTC(), told})
}
