package sagatest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/marty-framework/mmf/saga"
)

// applySearch keeps what searches know.
func (s *memory) applySearch(k *kept, w saga.Write) {
	if w.New && k.attributes == nil {
		k.attributes = slices.Clone(w.Attributes)
		slices.SortFunc(k.attributes, func(a, b saga.Attribute) int { return cmp.Compare(a.Name, b.Name) })
	}
	if w.New && w.From != nil {
		k.from = w.From
	}
	if w.Standing != nil {
		k.standing, k.stray = *w.Standing, false
	}
}

// forkTaken tells whether another fork took the effects of the source over.
func (s *memory) forkTaken(w saga.Write) bool {
	if w.From == nil || !w.From.Owns {
		return false
	}
	for uid, k := range s.sagas {
		if uid != w.Ref.UID && k.from != nil && k.from.Owns && k.from.Saga == w.From.Saga {
			return true
		}
	}
	return false
}

func (s *memory) MailOf(_ context.Context, uid saga.UID) ([]saga.Mail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []saga.Mail
	for _, m := range s.mail {
		if m.Saga == uid {
			out = append(out, m)
		}
	}
	return out, nil
}

func (s *memory) Search(_ context.Context, q saga.SearchQuery) ([]saga.Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []saga.Found
	for _, k := range s.sagas {
		if k.matches(q) {
			out = append(out, k.found())
		}
	}
	slices.SortFunc(out, func(a, b saga.Found) int {
		if q.From == saga.FromIDs {
			return strings.Compare(string(a.Ref.ID), string(b.Ref.ID))
		}
		return bytes.Compare(b.Ref.UID[:], a.Ref.UID[:])
	})
	return out[:min(q.Limit, len(out))], nil
}

func (k *kept) matches(q saga.SearchQuery) bool {
	switch q.From {
	case saga.FromIDs:
		return strings.HasPrefix(string(k.ref.ID), string(q.Prefix)) && k.ref.ID > q.AfterID
	case saga.FromLive:
		if !k.live {
			return false
		}
	case saga.FromState:
		if k.standing.State != q.State {
			return false
		}
	case saga.FromAttribute:
		if !slices.Contains(k.attributes, q.Attribute) {
			return false
		}
	}
	return bytes.Compare(k.ref.UID[:], q.Above[:]) > 0 && (q.Below == saga.UID{} || bytes.Compare(k.ref.UID[:], q.Below[:]) < 0)
}

func (k *kept) found() saga.Found {
	return saga.Found{Ref: k.ref, Live: k.live, WakesAt: k.sleep, Standing: k.standing, Attributes: slices.Clone(k.attributes)}
}

func (s *memory) Facts(_ context.Context, uid saga.UID) (saga.Facts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.sagas[uid]
	if k == nil {
		return saga.Facts{}, saga.ErrNotFound
	}
	f := saga.Facts{Found: k.found()}
	for _, m := range s.mail {
		if m.Saga == uid {
			f.Mail = append(f.Mail, m)
		}
	}
	if k.from != nil {
		f.From = s.sagas[k.from.Saga].ref.ID
	}
	for _, other := range s.sagas {
		if other.from != nil && other.from.Saga == uid {
			f.Forks = append(f.Forks, other.ref.ID)
		}
	}
	return f, nil
}
