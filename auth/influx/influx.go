// Package influx writes points to InfluxDB, over HTTP and without a client
// library: the line protocol is small.
//
// Start reading at New and Writer.Write. Version 2 is spoken when an organisation
// is named (/api/v2/write, authorization by token), version 1 otherwise (/write,
// user and password as "user:password" in the token).
//
// Invariants: Write never blocks and never fails the caller; points go out in
// batches, at the latest after the flush interval, and at Close; while the server
// is away batches are tried again and kept up to a bound, beyond which the oldest
// are dropped and counted. Nothing about the server's token is in an error or a log.
package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

var log = logging.Logger("influx")

// Config is the section [log.influxdb]. Zero values have defaults: 100 points, 30 seconds, ten thousand points kept.
type Config struct {
	ServerURL, AuthToken, Org, Bucket string
	BatchSize                         int
	FlushInterval                     time.Duration
	// Keep bounds the points that wait for a server that is away.
	Keep int
}

const (
	defaultBatch = 100
	defaultFlush = 30 * time.Second
	defaultKeep  = 10_000
	// postTimeout bounds one attempt to write.
	postTimeout = 10 * time.Second
	// retryFirst and retryMost bound the wait after a failure; it doubles.
	retryFirst = time.Second
	retryMost  = time.Minute
)

// Point is one line. Fields are float64, int64, bool or string.
type Point struct {
	Measurement string
	Tags        map[string]string
	Fields      map[string]any
	Time        time.Time
}

// Stats count what became of points.
type Stats struct{ Written, Dropped, Waiting int }

// Writer collects points and sends them. It is safe for concurrent use.
type Writer struct {
	cfg    Config
	target string
	header string
	http   *http.Client
	clk    clock.Clock

	mu    sync.Mutex
	queue []string // lines, the oldest first
	stats Stats
	full  chan struct{} // a batch is there

	stop chan struct{}
	done chan struct{}
}

// New checks the configuration and starts to send.
func New(c Config, clk clock.Clock) (*Writer, error) {
	u, err := url.Parse(c.ServerURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, api.Errorf(api.CodeInvalid, "[log.influxdb] serverURL is not of the form http://host:8086")
	}
	if c.Bucket == "" {
		return nil, api.Errorf(api.CodeInvalid, "[log.influxdb] bucket is missing").WithHint("name the bucket, or with InfluxDB 1 the database")
	}
	if c.BatchSize <= 0 {
		c.BatchSize = defaultBatch
	}
	if c.FlushInterval <= 0 {
		c.FlushInterval = defaultFlush
	}
	if c.Keep <= 0 {
		c.Keep = defaultKeep
	}
	c.Keep = max(c.Keep, c.BatchSize)
	w := &Writer{
		cfg: c, clk: clk, http: &http.Client{Timeout: postTimeout, Transport: &http.Transport{IdleConnTimeout: time.Minute}},
		full: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	u.Path = strings.TrimRight(u.Path, "/")
	if c.Org != "" {
		u.Path += "/api/v2/write"
		u.RawQuery = url.Values{"org": {c.Org}, "bucket": {c.Bucket}, "precision": {"ns"}}.Encode()
		w.header = "Token " + c.AuthToken
	} else {
		u.Path += "/write"
		u.RawQuery = url.Values{"db": {c.Bucket}, "precision": {"ns"}}.Encode()
		w.header = "Token " + c.AuthToken // user:password, as InfluxDB 1 reads it too
	}
	if c.AuthToken == "" {
		w.header = ""
	}
	w.target = u.String()
	go w.run()
	return w, nil
}

// Write queues a point. It never waits.
func (w *Writer) Write(p Point) {
	line := p.line()
	w.mu.Lock()
	w.queue = append(w.queue, line)
	w.drop()
	ready := len(w.queue) >= w.cfg.BatchSize
	w.mu.Unlock()
	if ready {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
}

// drop keeps the newest. Needs mu held.
func (w *Writer) drop() {
	if n := len(w.queue) - w.cfg.Keep; n > 0 {
		w.queue = append([]string(nil), w.queue[n:]...)
		w.stats.Dropped += n
	}
}

// Stats tells what became of points.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Waiting = len(w.queue)
	return s
}

func (w *Writer) run() {
	defer close(w.done)
	wait := time.Duration(0)
	for {
		pause, full := w.cfg.FlushInterval, w.full
		if wait > 0 {
			pause, full = wait, nil // a full batch does not hurry a server that is away
		}
		t := w.clk.NewTimer(pause)
		select {
		case <-full:
		case <-t.C():
		case <-w.stop:
			t.Stop()
			return
		}
		t.Stop()
		if err := w.flush(context.Background()); err == nil {
			if wait > 0 {
				log.Infof("InfluxDB takes points again; %d were dropped meanwhile", w.Stats().Dropped)
			}
			wait = 0
		} else if wait == 0 {
			wait = retryFirst
			log.Warnf("InfluxDB does not take points, they are kept and tried again: %v", err)
		} else {
			wait = min(2*wait, retryMost)
		}
	}
}

// flush sends all that waits, batch by batch.
func (w *Writer) flush(ctx context.Context) error {
	for {
		w.mu.Lock()
		batch := slices.Clone(w.queue[:min(len(w.queue), w.cfg.BatchSize)])
		w.queue = w.queue[len(batch):]
		w.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		err := w.post(ctx, batch)
		var bad *rejected
		w.mu.Lock()
		switch {
		case err == nil:
			w.stats.Written += len(batch)
		case errors.As(err, &bad):
			// It would be rejected forever.
			w.stats.Dropped += len(batch)
		default:
			w.queue = append(batch, w.queue...)
			w.drop()
		}
		w.mu.Unlock()
		if err != nil && bad == nil {
			return err
		}
		if bad != nil {
			log.Warnf("InfluxDB rejected %d points: %v", len(batch), err)
		}
	}
}

// rejected is an answer that says: these points never.
type rejected struct{ status int }

// Error names the status alone: the server's text may repeat what was sent.
func (r *rejected) Error() string { return fmt.Sprintf("HTTP status %d", r.status) }

func (w *Writer) post(ctx context.Context, batch []string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.target, strings.NewReader(strings.Join(batch, "\n")+"\n"))
	if err != nil {
		return errors.New("the request cannot be made")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if w.header != "" {
		req.Header.Set("Authorization", w.header)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusRequestEntityTooLarge || resp.StatusCode == http.StatusUnprocessableEntity:
		return &rejected{resp.StatusCode}
	}
	return fmt.Errorf("HTTP status %d", resp.StatusCode)
}

// Close sends what waits, once, within the context, and stops. What could not be sent is an error.
func (w *Writer) Close(ctx context.Context) error {
	close(w.stop)
	<-w.done
	err := w.flush(ctx)
	w.http.CloseIdleConnections()
	if n := w.Stats().Waiting; n > 0 {
		return fmt.Errorf("%d points were not written to InfluxDB: %w", n, err)
	}
	return nil
}

// line is the point in line protocol. Tags and fields are sorted; one without fields, which the protocol does not allow,
// gets a count.
func (p Point) line() string {
	var b bytes.Buffer
	b.WriteString(escape(p.Measurement, ", "))
	for _, k := range sortedKeys(p.Tags) {
		if p.Tags[k] != "" { // an empty tag is a syntax error
			b.WriteString("," + escape(k, ",= ") + "=" + escape(p.Tags[k], ",= "))
		}
	}
	sep := byte(' ')
	for _, k := range sortedKeys(p.Fields) {
		b.WriteByte(sep)
		sep = ','
		b.WriteString(escape(k, ",= ") + "=" + field(p.Fields[k]))
	}
	if sep == ' ' {
		b.WriteString(" count=1i")
	}
	b.WriteString(" " + strconv.FormatInt(p.Time.UnixNano(), 10))
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// escape puts a backslash before special characters. A line end would begin another point, a backslash at the end would
// escape what follows: both become blanks.
func escape(s, special string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\\' {
			return ' '
		}
		return r
	}, s)
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(special, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func field(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10) + "i"
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	text := strings.NewReplacer("\n", " ", "\r", " ", `\`, `\\`, `"`, `\"`).Replace(fmt.Sprint(v))
	return `"` + text + `"`
}
