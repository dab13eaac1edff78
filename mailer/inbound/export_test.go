package inbound

// Read takes a message apart; a refusal is the reply to it, or empty.
func Read(raw []byte) (Submission, string) {
	s, r := read(raw)
	return s, r.String()
}
