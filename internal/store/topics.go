package store

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

type topicRow struct {
	ID        int64
	Key       string
	Name      string
	CreatedAt int64
}

func (r topicRow) topic() posthaste.Topic {
	return posthaste.Topic{ID: r.ID, Key: r.Key, Name: r.Name, CreatedAt: instant(r.CreatedAt)}
}

// AddTopic stores a topic and gives it its id; Conflict when the key is taken.
func (s *Store) AddTopic(ctx context.Context, t posthaste.Topic) (posthaste.Topic, error) {
	t.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	err := s.inTx(ctx, "add topic", func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewRaw("INSERT INTO topics (key, name, created_at) VALUES (?, ?, ?) RETURNING id",
			t.Key, t.Name, micros(t.CreatedAt)).Scan(ctx, &t.ID); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "topic.add", object("topic", t.ID), "key", t.Key))
	})
	if errors.Is(err, posthaste.Conflict) {
		err = &posthaste.Error{Kind: posthaste.Conflict, Message: "there is such a topic already", Err: err,
			Fields: []posthaste.Field{{Name: "key", Reason: "is taken"}}}
	}
	if err != nil {
		return posthaste.Topic{}, err
	}
	return t, nil
}

// ListTopics gives all topics by key; an operator has tens of them.
func (s *Store) ListTopics(ctx context.Context) ([]posthaste.Topic, error) {
	var rows []topicRow
	if err := s.db.NewRaw("SELECT id, key, name, created_at FROM topics ORDER BY key").Scan(ctx, &rows); err != nil {
		return nil, translate("list topics", err)
	}
	topics := make([]posthaste.Topic, len(rows))
	for i, r := range rows {
		topics[i] = r.topic()
	}
	return topics, nil
}

// FindTopic gives the topic of that key, or NotFound.
func (s *Store) FindTopic(ctx context.Context, key string) (posthaste.Topic, error) {
	var row topicRow
	err := s.db.NewRaw("SELECT id, key, name, created_at FROM topics WHERE key = ?", key).Scan(ctx, &row)
	if err != nil {
		return posthaste.Topic{}, translate("find topic", err)
	}
	return row.topic(), nil
}

// FindTopicByID gives the topic of that id, or NotFound.
func (s *Store) FindTopicByID(ctx context.Context, id int64) (posthaste.Topic, error) {
	var row topicRow
	err := s.db.NewRaw("SELECT id, key, name, created_at FROM topics WHERE id = ?", id).Scan(ctx, &row)
	if err != nil {
		return posthaste.Topic{}, translate("find topic", err)
	}
	return row.topic(), nil
}
