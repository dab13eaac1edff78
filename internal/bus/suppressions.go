package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"posthaste"
)

// keptSuppression is a suppression on the bus: a keyed hash, never an address.
type keptSuppression struct {
	Hash   []byte           `json:"hash"`
	Key    int64            `json:"key,omitempty"` // absent: the first line of the secret file
	Topic  int64            `json:"topic,omitempty"`
	Reason posthaste.Reason `json:"reason"`
	At     int64            `json:"at"` // Unix microseconds
}

// replayBatch is the most suppressions that are restored at once.
const replayBatch = 500

// KeepSuppressions appends suppressions to the stream that outlives a restored
// database, and gives the stream's last sequence number. One that is kept twice
// within some minutes stands there once, and later ones do no harm.
func (b *Bus) KeepSuppressions(ctx context.Context, suppressions []posthaste.Suppression) (last uint64, err error) {
	for _, x := range suppressions {
		body, err := json.Marshal(keptSuppression{x.AddressHash, x.KeyID, x.TopicID, x.Reason, x.CreatedAt.UnixMicro()})
		if err != nil {
			return 0, err
		}
		ack, err := b.js.Publish(ctx, suppressionSubject, body, jetstream.WithMsgID(fmt.Sprintf("%d-%d", x.ID, x.CreatedAt.UnixMicro())))
		if err != nil {
			return 0, unavailable(err)
		}
		last = max(last, ack.Sequence)
	}
	return last, nil
}

// LastSuppression is the sequence number of the last suppression that is kept.
// One below a number that KeepSuppressions gave means that the broker has lost
// its data since.
func (b *Bus) LastSuppression(ctx context.Context) (uint64, error) {
	info, err := b.suppressions.Info(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	return info.State.LastSeq, nil
}

// ReplaySuppressions gives what was kept after a sequence number, in order.
func (b *Bus) ReplaySuppressions(ctx context.Context, after uint64, restore func(context.Context, []posthaste.Suppression) error) error {
	info, err := b.suppressions.Info(ctx)
	if err != nil {
		return unavailable(err)
	}
	var batch []posthaste.Suppression
	for sequence := max(after+1, info.State.FirstSeq); sequence <= info.State.LastSeq; sequence++ {
		msg, err := b.suppressions.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return unavailable(err)
		}
		var kept keptSuppression
		if err := json.Unmarshal(msg.Data, &kept); err != nil {
			return err
		}
		batch = append(batch, posthaste.Suppression{AddressHash: kept.Hash, KeyID: kept.Key, TopicID: kept.Topic, Reason: kept.Reason, CreatedAt: time.UnixMicro(kept.At).UTC()})
		if len(batch) == replayBatch {
			if err := restore(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return restore(ctx, batch)
}
