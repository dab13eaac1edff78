package mailer

import "sync"

// recent keeps what was made last, so much at most. It is safe for concurrent use.
type recent[K comparable, V any] struct {
	most int
	mu   sync.Mutex
	of   map[K]V
}

func newRecent[K comparable, V any](most int) *recent[K, V] {
	return &recent[K, V]{most: most, of: map[K]V{}}
}

func (r *recent[K, V]) find(key K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.of[key]
	return v, ok
}

// keep makes room by dropping any other: what is in use is soon made again.
func (r *recent[K, V]) keep(key K, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for old := range r.of {
		if len(r.of) < r.most {
			break
		}
		delete(r.of, old)
	}
	r.of[key] = v
}

func (r *recent[K, V]) drop(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, key)
}
