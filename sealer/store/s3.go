package store

import (
	"bytes"
	"context"
	"crypto/md5" // the checksum that S3 gives parts
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/filecoin-venus/venus/internal/fault"
)

// S3 is how to reach a bucket. Keys are never stored with it: they are read from
// Credentials, a file as other S3 programs have it, or from the environment.
type S3 struct {
	Endpoint    string // URL of the server
	Region      string `json:",omitempty"`
	Credentials string `json:",omitempty"` // "" = AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
	Profile     string `json:",omitempty"`
}

// wholeFolder holds one mark for each file of a sector that is there as a whole:
// a bucket has no renames, so what has no mark does not count.
const wholeFolder = "whole"

// goneFolder holds one mark for each file that is being deleted, from before its
// first object goes until its last one is gone.
const goneFolder = "gone"

// bucket is a path in an S3 bucket: the folders of a local path as prefixes, and
// the marks.
type bucket struct {
	url, id, name, prefix string
	core                  minio.Core
	gate                  *gate
	chunk                 int64
}

// bucketRoot begins the names of files in a bucket. They are no names of the file
// system; filepath.Join leaves them as they are.
func bucketRoot(id string) string { return "s3:" + id }

func newBucket(e entry, g *gate, chunk int64) (*bucket, error) {
	u, err := url.Parse(e.Path)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return nil, fmt.Errorf("storage path %s: want s3://BUCKET/PREFIX", e.Path)
	}
	at, err := url.Parse(e.S3.Endpoint)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return nil, fmt.Errorf("storage path %s: endpoint %q: want the URL of the S3 server, such as https://s3.example.com", e.Path, e.S3.Endpoint)
	}
	creds := credentials.NewEnvAWS()
	if e.S3.Credentials != "" {
		creds = credentials.NewFileAWSCredentials(e.S3.Credentials, e.S3.Profile)
	}
	keys, err := creds.GetWithContext(nil)
	if err != nil || keys.AccessKeyID == "" || keys.SecretAccessKey == "" {
		return nil, fmt.Errorf("storage path %s: no keys for the bucket: name a credentials file, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: %w", e.Path, errors.Join(err, fs.ErrPermission))
	}
	core, err := minio.NewCore(at.Host, &minio.Options{Creds: creds, Secure: at.Scheme == "https", Region: e.S3.Region, MaxRetries: 3})
	if err != nil {
		return nil, fmt.Errorf("storage path %s: %w", e.Path, err)
	}
	b := &bucket{url: e.Path, name: u.Host, prefix: strings.Trim(u.Path, "/"), core: *core, gate: g, chunk: chunk}
	if b.prefix != "" {
		b.prefix += "/"
	}
	return b, nil
}

// remote runs a call with the gate's patience and a context that ends with it.
func remote[T any](b *bucket, patience int, f func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	v, err := ask(b.gate, patience, func() (T, error) { return f(ctx) })
	if code := minio.ToErrorResponse(err).Code; code == minio.NoSuchKey || code == "NotFound" {
		err = fmt.Errorf("%s: %w", b.url, fs.ErrNotExist)
	}
	return v, err
}

func (b *bucket) key(d Decl, name string) string {
	k := b.prefix + d.Type.String() + "/" + SectorName(d.Sector)
	if name != "" {
		k += "/" + name
	}
	return k
}

func (b *bucket) mark(d Decl) string { return b.markIn(wholeFolder, d) }

func (b *bucket) markIn(folder string, d Decl) string {
	return b.prefix + folder + "/" + d.Type.String() + "/" + SectorName(d.Sector)
}

func (b *bucket) get(key string, at, n int64) ([]byte, error) {
	return remote(b, 1, func(ctx context.Context) ([]byte, error) {
		o := minio.GetObjectOptions{}
		if err := o.SetRange(at, at+n-1); err != nil {
			return nil, err
		}
		r, _, _, err := b.core.GetObject(ctx, b.name, key, o)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(io.LimitReader(r, n))
	})
}

func (b *bucket) put(key string, content []byte) error {
	sum, sha := md5.Sum(content), sha256.Sum256(content)
	_, err := remote(b, writePatience, func(ctx context.Context) (minio.UploadInfo, error) {
		return b.core.PutObject(ctx, b.name, key, bytes.NewReader(content), int64(len(content)), base64.StdEncoding.EncodeToString(sum[:]), hex.EncodeToString(sha[:]), minio.PutObjectOptions{DisableMultipart: true})
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (b *bucket) remove(key string) error {
	_, err := remote(b, writePatience, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, b.core.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{})
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", key, err)
	}
	return nil
}

// object is what a listing shows.
type object struct {
	key  string
	size int64
}

// objects lists what lies below a prefix.
func (b *bucket) objects(prefix string, deep bool) ([]object, error) {
	return remote(b, writePatience, func(ctx context.Context) ([]object, error) {
		var out []object
		for o := range b.core.Client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: prefix, Recursive: deep}) {
			if o.Err != nil {
				return nil, fmt.Errorf("list %s: %w", b.url, o.Err)
			}
			out = append(out, object{key: o.Key, size: o.Size})
		}
		return out, nil
	})
}

func (b *bucket) init(m Meta) error {
	key := b.prefix + MetaFile
	_, err := b.get(key, 0, 1)
	if err == nil {
		return fmt.Errorf("%s is a storage path already; attach it without --init", b.url)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	content, err := m.encode()
	if err != nil {
		return err
	}
	return b.put(key, content)
}

func (b *bucket) meta() (Meta, error) {
	content, err := b.get(b.prefix+MetaFile, 0, maxMeta)
	if errors.Is(err, fs.ErrNotExist) {
		return Meta{}, fmt.Errorf("%s is not a storage path (no %s); attach it with --init", b.url, MetaFile)
	}
	if err != nil {
		return Meta{}, fmt.Errorf("read storage path %s: %w", b.url, err)
	}
	m, err := parseMeta(b.url, content)
	b.id = m.ID
	return m, err
}

func (b *bucket) list() (found, error) {
	var out found
	for _, t := range FileTypes() {
		whole, err := b.named(&out, wholeFolder+"/"+t.String()+"/")
		if err != nil {
			return out, err
		}
		deleted, err := b.named(&out, goneFolder+"/"+t.String()+"/")
		if err != nil {
			return out, err
		}
		objects, err := b.named(&out, t.String()+"/")
		if err != nil {
			return out, err
		}
		for id := range whole {
			out.decls = append(out.decls, Decl{id, t})
		}
		for id := range deleted {
			objects[id] = true
		}
		for id := range objects {
			x := leftover{Decl: Decl{id, t}, name: "s3://" + b.name + "/" + b.key(Decl{id, t}, ""), ending: moving}
			if deleted[id] {
				x.ending = gone
			}
			if deleted[id] || !whole[id] {
				out.left = append(out.left, x)
			}
		}
	}
	sortDecls(out.decls)
	return out, nil
}

// named lists the sectors that have something right below a prefix; other names are stray.
func (b *bucket) named(out *found, prefix string) (map[abi.SectorID]bool, error) {
	list, err := b.objects(b.prefix+prefix, false)
	if err != nil {
		return nil, err
	}
	ids := map[abi.SectorID]bool{}
	for _, o := range list {
		id, err := ParseSectorName(strings.TrimSuffix(strings.TrimPrefix(o.key, b.prefix+prefix), "/"))
		if err != nil {
			out.stray = append(out.stray, "s3://"+b.name+"/"+o.key)
			continue
		}
		ids[id] = true
	}
	return ids, nil
}

// manifest is the content of a mark: the files, and what they must hold.
type manifest struct{ Files []manifestFile }

type manifestFile struct {
	Name   string // "" for a sector's only file
	Size   int64
	SHA256 string
}

func parseManifest(content []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return m, err
	}
	for _, f := range m.Files {
		// The name becomes one on our disks.
		if f.Name != "" && (f.Name != filepath.Base(f.Name) || f.Name == ".." || f.Name == ".") {
			return m, fmt.Errorf("%q is no name of a file", f.Name)
		}
		if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size || f.Size < 0 {
			return m, fmt.Errorf("file %q: size %d, checksum %q", f.Name, f.Size, f.SHA256)
		}
	}
	return m, nil
}

// maxManifest bounds a mark: a cache has some dozen files.
const maxManifest = 1 << 20

func (b *bucket) files(d Decl) ([]piece, error) {
	content, err := b.get(b.mark(d), 0, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.mark(d), err)
	}
	var out []piece
	for _, f := range m.Files {
		out = append(out, piece{name: f.Name, size: f.Size, sum: f.SHA256})
	}
	return out, nil
}

func (b *bucket) open(d Decl, name string) (File, error) {
	key := b.key(d, name)
	size, err := remote(b, 1, func(ctx context.Context) (int64, error) {
		info, err := b.core.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
		return info.Size, err
	})
	if err != nil {
		return nil, err
	}
	return &ranged{b: b, key: key, size: size}, nil
}

func (b *bucket) take(ctx context.Context, d Decl, from volume, said func(int64)) error {
	if _, err := b.get(b.mark(d), 0, 1); err == nil { // an earlier try got this far, or it is another's
		return same(ctx, d, from, b, b.chunk)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	list, err := from.files(d)
	if err != nil {
		return fmt.Errorf("look at the source: %w", err)
	}
	var m manifest
	for _, p := range list {
		in, err := from.open(d, p.name)
		if err != nil {
			return fmt.Errorf("open the source: %w", err)
		}
		sum, err := b.upload(ctx, b.key(d, p.name), in, p.size, said)
		if cerr := in.Close(); err == nil {
			err = cerr
		}
		if err == nil && p.sum != "" && p.sum != sum {
			err = fmt.Errorf("the source has not the checksum that it came with: %w", ErrCorrupt)
		}
		if err != nil {
			return fmt.Errorf("put %s: %w", b.key(d, p.name), err)
		}
		m.Files = append(m.Files, manifestFile{p.name, p.size, sum})
	}
	content, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the mark: %w", err)
	}
	if err := fault.Point("store/mark"); err != nil {
		return err
	}
	return b.put(b.mark(d), content)
}

// upload puts one file, in parts when it is large; parts that an earlier try left
// are kept when their checksum is the source's. It returns the file's SHA-256.
func (b *bucket) upload(ctx context.Context, key string, in File, size int64, said func(int64)) (string, error) {
	if size <= b.chunk {
		content := make([]byte, size)
		if n, err := in.ReadAt(content, 0); n < len(content) {
			return "", fmt.Errorf("read the source: %w", err)
		}
		if err := b.put(key, content); err != nil {
			return "", err
		}
		said(size)
		return hex.EncodeToString(hashOf(content)), fault.Point("store/part")
	}
	id, have, err := b.unfinished(key)
	if err != nil {
		return "", err
	}
	whole, parts := sha256.New(), []minio.CompletePart{}
	for at, n := int64(0), 1; at < size; at, n = at+b.chunk, n+1 {
		if err := errEnded(ctx); err != nil {
			return "", err
		}
		part := make([]byte, min(b.chunk, size-at))
		if k, err := in.ReadAt(part, at); k < len(part) {
			return "", fmt.Errorf("read the source at %d: %w", at, err)
		}
		whole.Write(part)
		sum := md5.Sum(part)
		etag := hex.EncodeToString(sum[:])
		if have[n] != etag {
			if have[n], err = b.putPart(key, id, n, part, sum); err != nil {
				return "", err
			}
		}
		parts = append(parts, minio.CompletePart{PartNumber: n, ETag: have[n]})
		said(int64(len(part)))
		if err := fault.Point("store/part"); err != nil {
			return "", err
		}
	}
	_, err = remote(b, writePatience, func(ctx context.Context) (minio.UploadInfo, error) {
		return b.core.CompleteMultipartUpload(ctx, b.name, key, id, parts, minio.PutObjectOptions{})
	})
	if err != nil {
		return "", fmt.Errorf("join the parts: %w", err)
	}
	return hex.EncodeToString(whole.Sum(nil)), nil
}

func hashOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func (b *bucket) putPart(key, upload string, n int, part []byte, sum [md5.Size]byte) (string, error) {
	p, err := remote(b, writePatience, func(ctx context.Context) (minio.ObjectPart, error) {
		return b.core.PutObjectPart(ctx, b.name, key, upload, n, bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{
			Md5Base64: base64.StdEncoding.EncodeToString(sum[:]), Sha256Hex: hex.EncodeToString(hashOf(part)),
		})
	})
	if err != nil {
		return "", fmt.Errorf("part %d: %w", n, err)
	}
	return strings.Trim(p.ETag, `"`), nil
}

// uploads lists the unfinished uploads of a sector's file: a few at most.
func (b *bucket) uploads(ctx context.Context, key string) ([]minio.ObjectMultipartInfo, error) {
	r, err := b.core.ListMultipartUploads(ctx, b.name, key, "", "", "", 1000)
	if minio.ToErrorResponse(err).Code == minio.NoSuchUpload { // some servers say so when there are none
		return nil, nil
	}
	return r.Uploads, err
}

// unfinished finds the upload of an object that an earlier try left, with the
// checksums of its parts, or begins one.
func (b *bucket) unfinished(key string) (id string, have map[int]string, err error) {
	have = map[int]string{}
	id, err = remote(b, writePatience, func(ctx context.Context) (string, error) {
		r, err := b.uploads(ctx, key)
		if err != nil {
			return "", err
		}
		for _, u := range r {
			if u.Key == key {
				return u.UploadID, nil
			}
		}
		return b.core.NewMultipartUpload(ctx, b.name, key, minio.PutObjectOptions{})
	})
	if err != nil {
		return "", nil, fmt.Errorf("begin the upload: %w", err)
	}
	for marker := 0; ; {
		r, err := remote(b, writePatience, func(ctx context.Context) (minio.ListObjectPartsResult, error) {
			return b.core.ListObjectParts(ctx, b.name, key, id, marker, 1000)
		})
		if err != nil {
			return "", nil, fmt.Errorf("list parts of an earlier try: %w", err)
		}
		for _, p := range r.ObjectParts {
			have[p.PartNumber] = strings.Trim(p.ETag, `"`)
		}
		if !r.IsTruncated || r.NextPartNumberMarker <= marker {
			return id, have, nil
		}
		marker = r.NextPartNumberMarker
	}
}

func (b *bucket) drop(d Decl) error {
	if err := b.put(b.markIn(goneFolder, d), []byte("{}")); err != nil {
		return err
	}
	if err := b.remove(b.mark(d)); err != nil {
		return err
	}
	if err := fault.Point("store/drop"); err != nil {
		return err
	}
	return b.sweep(d)
}

// sweep removes the objects of a sector's file, and what was being put of it.
func (b *bucket) sweep(d Decl) error {
	key := b.key(d, "")
	list, err := b.objects(key+"/", true)
	if err != nil {
		return err
	}
	for _, o := range append(list, object{key: key}) {
		if err := b.remove(o.key); err != nil {
			return err
		}
	}
	_, err = remote(b, writePatience, func(ctx context.Context) (struct{}, error) {
		r, err := b.uploads(ctx, key)
		if err != nil {
			return struct{}{}, err
		}
		for _, u := range r {
			if u.Key == key || strings.HasPrefix(u.Key, key+"/") {
				err = errors.Join(err, b.core.AbortMultipartUpload(ctx, b.name, u.Key, u.UploadID))
			}
		}
		return struct{}{}, err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end uploads of %s: %w", key, err)
	}
	return b.remove(b.markIn(goneFolder, d))
}

func (b *bucket) clear(x leftover) error { return b.sweep(x.Decl) }

// measure knows no limit: a bucket tells none.
func (b *bucket) measure() (Stat, error) { return Stat{Available: endless}, nil }

func (b *bucket) sizeOf(id *abi.SectorID) (int64, error) {
	total := int64(0)
	for _, t := range FileTypes() {
		prefix := b.prefix + t.String() + "/"
		if id != nil {
			prefix = b.key(Decl{*id, t}, "")
		}
		list, err := b.objects(prefix, true)
		if err != nil {
			return 0, err
		}
		for _, o := range list {
			if id == nil || o.key == prefix || strings.HasPrefix(o.key, prefix+"/") {
				total += o.size
			}
		}
	}
	return total, nil
}

// readBlock is how much is read at least: a proof reads small pieces that lie
// near each other, and a request costs more than these bytes.
const readBlock = 64 << 10

// ranged is an object that is read by ranges. What was read stays until it is
// closed: some hundred KiB for a proof.
type ranged struct {
	b    *bucket
	key  string
	size int64

	mu     sync.Mutex // guards blocks
	blocks map[int64][]byte
}

// Size is the object's length.
func (r *ranged) Size() (int64, error) { return r.size, nil }

// Close forgets what was read.
func (r *ranged) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocks = nil
	return nil
}

// ReadAt is io.ReaderAt's.
func (r *ranged) ReadAt(p []byte, at int64) (int, error) {
	if at >= r.size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), r.size-at)
	n := 0
	for int64(n) < want {
		got, err := r.some(p[n:want], at+int64(n))
		n += got
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// some reads a part of what is wanted: a large piece as it is, a small one out of
// its block.
func (r *ranged) some(p []byte, at int64) (int, error) {
	if len(p) >= readBlock {
		content, err := r.exactly(at, int64(len(p)))
		return copy(p, content), err
	}
	first := at / readBlock * readBlock
	r.mu.Lock()
	block, ok := r.blocks[first]
	r.mu.Unlock()
	if !ok {
		var err error
		if block, err = r.exactly(first, min(readBlock, r.size-first)); err != nil {
			return 0, err
		}
		r.mu.Lock()
		if r.blocks == nil {
			r.blocks = map[int64][]byte{}
		}
		r.blocks[first] = block
		r.mu.Unlock()
	}
	return copy(p, block[at-first:]), nil
}

func (r *ranged) exactly(at, n int64) ([]byte, error) {
	content, err := r.b.get(r.key, at, n)
	if err == nil && int64(len(content)) != n {
		err = fmt.Errorf("%s: %w", r.key, io.ErrUnexpectedEOF)
	}
	return content, err
}
