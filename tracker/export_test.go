package tracker

// Knows reports whether the links of a campaign are known without the database.
func Knows(s *Service, campaignID int64) bool {
	s.links.mu.RLock()
	defer s.links.mu.RUnlock()
	return s.links.known[campaignID] != nil
}
