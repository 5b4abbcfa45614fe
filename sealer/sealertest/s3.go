package sealertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

// S3 is an S3 server in this process, of another program: it checks signatures
// and checksums. It has one bucket, "sectors".
type S3 struct {
	// URL is its endpoint.
	URL string
	// Puts and Gets count requests: those that write, and those that read a range.
	Puts, Gets atomic.Int64
	// Broken refuses everything.
	Broken atomic.Bool

	back *s3mem.Backend
	srv  *httptest.Server
}

// Keys of the server.
const (
	S3KeyID  = "AKID"
	S3Secret = "secret"
)

// plainLists lists with an empty delimiter as S3 does: as with none.
type plainLists struct{ *s3mem.Backend }

func (b plainLists) ListBucket(ctx context.Context, name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if prefix != nil && prefix.Delimiter == "" {
		p := *prefix
		p.HasDelimiter = false
		prefix = &p
	}
	return b.Backend.ListBucket(ctx, name, prefix, page)
}

// NewS3 starts a server; Close ends it.
func NewS3() (*S3, error) {
	s := &S3{back: s3mem.New()}
	if err := s.back.CreateBucket(context.Background(), "sectors"); err != nil {
		return nil, fmt.Errorf("make the bucket: %w", err)
	}
	h := gofakes3.New(plainLists{s.back}, gofakes3.WithV4Auth(map[string]string{S3KeyID: S3Secret}), gofakes3.WithIntegrityCheck(true)).Server()
	s.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.Broken.Load():
			http.Error(w, "broken", http.StatusForbidden)
			return
		case r.Method == http.MethodPut:
			s.Puts.Add(1)
		case r.Method == http.MethodGet && r.Header.Get("Range") != "":
			s.Gets.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	s.URL = s.srv.URL
	return s, nil
}

// Close ends the server.
func (s *S3) Close() { s.srv.Close() }

// WriteKeys writes a credentials file.
func WriteKeys(file, id, secret string) error {
	return os.WriteFile(file, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret), 0o600)
}

// Objects are all objects of the bucket with their content.
func (s *S3) Objects() (map[string][]byte, error) {
	out := map[string][]byte{}
	list, err := s.back.ListBucket(context.Background(), "sectors", &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil {
		return nil, err
	}
	for _, o := range list.Contents {
		got, err := s.back.GetObject(context.Background(), "sectors", o.Key, nil)
		if err != nil {
			return nil, err
		}
		if out[o.Key], err = io.ReadAll(got.Contents); err != nil {
			return nil, err
		}
	}
	return out, nil
}
