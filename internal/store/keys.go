package store

import (
	"context"
	"time"
)

// PutKey stores the SHA-256 of an API key under a name; a key that had the name stops working.
func (s *Store) PutKey(ctx context.Context, name string, hash []byte) error {
	_, err := s.db.NewRaw(`INSERT INTO api_keys (name, hash, created_at) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at`,
		name, hash, micros(time.Now())).Exec(ctx)
	return translate("put key", err)
}

// FindKey gives the name of the key with that SHA-256, or NotFound.
func (s *Store) FindKey(ctx context.Context, hash []byte) (string, error) {
	var name string
	err := s.db.NewRaw("SELECT name FROM api_keys WHERE hash = ?", hash).Scan(ctx, &name)
	return name, translate("find key", err)
}
