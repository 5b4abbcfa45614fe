package mpool

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/types"
)

const (
	configKey = "config"
	msgPrefix = "msg/"
)

func storeKey(e *entry) string { return msgPrefix + e.cid.String() }

// persist makes a local message durable, which must come before its CID is
// returned to the caller; on failure the pool forgets the message again.
func (p *Pool) persist(ctx context.Context, e *entry, raw []byte) error {
	err := fault.Point("mpool/localPersist")
	if err == nil {
		err = p.o.Store.Put(ctx, storeKey(e), raw)
	}
	if err == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.core.lines[e.key]; l != nil && l.msgs[e.msg.Message.Nonce] == e {
		p.core.remove(e.key, e.msg.Message.Nonce)
		p.tellLocked(Update{Removed, e.msg})
	}
	return fmt.Errorf("store message %s: %w", e.cid, err)
}

// reload takes the stored messages back in at start.
func (p *Pool) reload(ctx context.Context) error {
	var kept, landed, bad int
	err := p.o.Store.All(ctx, func(k string, raw []byte) error {
		if k == configKey {
			return nil
		}
		m, err := types.DecodeSignedMessage(raw)
		if err == nil {
			err = p.restoreStored(ctx, m)
		}
		switch {
		case err == nil:
			kept++
			return nil
		case isLanded(err):
			landed++
		default:
			bad++
			log.Warnw("stored message dropped", "key", k, "err", err)
		}
		return p.o.Store.Delete(ctx, k)
	})
	if err != nil {
		return fmt.Errorf("read stored messages: %w", err)
	}
	if kept+landed+bad > 0 {
		log.Infow("stored messages read", "pending", kept, "landed", landed, "invalid", bad)
	}
	return nil
}

// restoreStored readmits one message of ours. A lack of funds or too low a fee
// does not drop it: it was accepted once, and time may heal both.
func (p *Pool) restoreStored(ctx context.Context, m *types.SignedMessage) error {
	if err := checkRelay(m); err != nil {
		return err
	}
	e, _, err := p.check(ctx, m, Local, p.head)
	if err != nil {
		return err
	}
	actor, err := p.o.Chain.ActorAfter(ctx, m.Message.From, p.head)
	if err != nil {
		return fmt.Errorf("look up sender %s: %w", m.Message.From, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Message.Nonce < actor.Nonce {
		return ErrNonceTooLow
	}
	// Of two stored messages of one nonce the dearer is the replacement.
	if l := p.core.lines[e.key]; l != nil {
		if have := l.msgs[m.Message.Nonce]; have != nil {
			if !have.msg.Message.GasPremium.LessThan(m.Message.GasPremium) {
				return ErrExists
			}
			p.core.remove(e.key, m.Message.Nonce)
		}
	}
	if !p.core.restore(e, actor.Nonce) {
		return ErrExists
	}
	return nil
}

// Config returns the current settings.
func (p *Pool) Config() Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg
}

// SetConfig checks, stores and applies settings.
func (p *Pool) SetConfig(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("pool settings: %w", err)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode pool settings: %w", err)
	}
	if err := p.o.Store.Put(ctx, configKey, raw); err != nil {
		return fmt.Errorf("store pool settings: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg = c
	return nil
}

func loadConfig(ctx context.Context, s Store, fallback Config) (Config, error) {
	cfg := fallback
	err := s.All(ctx, func(k string, raw []byte) error {
		if k != configKey {
			return nil
		}
		return json.Unmarshal(raw, &cfg)
	})
	if err != nil {
		return cfg, fmt.Errorf("read pool settings: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		return cfg, fmt.Errorf("pool settings: %w", err)
	}
	return cfg, nil
}
