package mariadb

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/filecoin-venus/venus/internal/clock"
)

// The guide's user, so that its connection strings work as printed.
const (
	user     = "root"
	password = "111111"
)

const (
	// nobody is the user that a server runs as when a test runs as root.
	nobody = 65534
	// patience bounds the start of a server and every statement of this package.
	patience = time.Minute
	prefix   = "venus-mariadb-"
)

// Server is a mariadbd of a test's own, for tests that kill, stop or freeze it. It is not safe for concurrent use.
type Server struct {
	bin   binaries
	dir   string // its data, socket and log
	port  int
	extra []string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
	log   serverLog
}

// Start runs a new, empty server until the test ends. Options are given to mariadbd as they are; by default a commit
// survives the death of the server, but not that of the machine.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	s, err := newServer(t.Context(), options)
	if errors.Is(err, errAbsent) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// newServer makes a data folder and starts a server on it.
func newServer(ctx context.Context, options []string) (*Server, error) {
	bin, err := find(ctx)
	if err != nil {
		return nil, err
	}
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("make a data folder: %w", err)
	}
	s := &Server{bin: bin, dir: dir, extra: options}
	if err := s.prepare(ctx); err != nil {
		s.remove()
		return nil, err
	}
	if err := s.start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// sweep removes the data of servers whose tests were killed.
func sweep() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return
	}
	for _, d := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(d), prefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			_ = os.RemoveAll(d) // it may belong to somebody else
		}
	}
}

// prepare gives the data folder its system tables and one user.
func (s *Server) prepare(ctx context.Context) error {
	tables, err := s.bin.systemTables()
	if err != nil {
		return err
	}
	initial := fmt.Sprintf("CREATE OR REPLACE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%s'@'127.0.0.1';\n", user, password, user)
	if err := os.WriteFile(s.path("init.sql"), []byte(initial), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(s.path("data"), 0o700); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		for _, p := range []string{s.dir, s.path("data")} {
			if err := os.Chown(p, nobody, nobody); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	boot := exec.CommandContext(ctx, s.bin.mariadbd, append(s.options(), "--bootstrap")...)
	boot.Env, boot.SysProcAttr, boot.Stdin = s.bin.env(), attributes(), strings.NewReader(tables)
	if out, err := boot.CombinedOutput(); err != nil {
		return fmt.Errorf("make the system tables: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) options() []string {
	return append([]string{
		"--no-defaults", "--basedir=" + s.bin.base, "--lc-messages-dir=" + s.bin.share, "--datadir=" + s.path("data"), "--tmpdir=" + s.path("data"),
		"--socket=" + s.path("socket"), "--pid-file=" + s.path("pid"), "--skip-log-bin", "--skip-name-resolve",
		"--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M", "--innodb-buffer-pool-dump-at-shutdown=0",
		"--innodb-flush-log-at-trx-commit=2",
	}, s.extra...)
}

// start runs the server on its port; the first start chooses one that is free.
func (s *Server) start() error {
	const tries = 5
	port := s.port
	var err error
	for range tries {
		if port == 0 {
			if s.port, err = freePort(); err != nil {
				return err
			}
		}
		if err = s.startOnce(); err == nil || port != 0 {
			return err
		}
	}
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

func (s *Server) startOnce() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(s.bin.mariadbd, append(s.options(), "--bind-address=127.0.0.1", "--port="+strconv.Itoa(s.port), "--init-file="+s.path("init.sql"))...)
	cmd.Env, cmd.SysProcAttr, cmd.Stderr, cmd.Stdout = s.bin.env(), attributes(), w, w
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The system ends the server when the thread that started it ends (attributes).
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended, its log tells
		}
		close(ended)
	}()
	err = <-started
	_ = w.Close()
	if err != nil {
		return errors.Join(fmt.Errorf("start mariadbd: %w", err), r.Close())
	}
	s.cmd, s.ended = cmd, ended
	ready := make(chan struct{})
	go s.log.read(r, ready)
	late := clock.Real().NewTimer(patience)
	defer late.Stop()
	select {
	case <-ready:
		return nil
	case <-ended:
	case <-late.C():
	}
	s.Kill()
	return fmt.Errorf("mariadbd did not become ready:\n%s", s.log.text())
}

// serverLog keeps the end of what a server logs.
type serverLog struct {
	mu    sync.Mutex
	lines []string
}

// read takes lines until the server ends and closes ready when it accepts connections.
func (l *serverLog) read(r io.ReadCloser, ready chan struct{}) {
	defer r.Close()
	const kept = 200
	for lines := bufio.NewScanner(r); lines.Scan(); {
		l.mu.Lock()
		l.lines = append(l.lines[max(0, len(l.lines)-kept):], lines.Text())
		l.mu.Unlock()
		if ready != nil && strings.Contains(lines.Text(), "ready for connections") {
			close(ready)
			ready = nil
		}
	}
}

func (l *serverLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server in good order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Pause freezes the server: connections stay open and get no answers. On a busy machine a thread on another processor may
// answer for a while after the signal, so this waits until all have stopped, where the system tells.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	tasks := filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "task")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !stopped(tasks) {
		if clock.Real().Sleep(ctx, time.Millisecond) != nil {
			t.Fatalf("the server did not stop within %s", patience)
		}
	}
}

// stopped tells whether all threads in a folder of /proc have stopped; where there is none, they are believed to have.
func stopped(tasks string) bool {
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return true
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(filepath.Join(tasks, thread.Name(), "stat"))
		// The state follows the name, which is in parentheses and may hold any.
		if at := bytes.LastIndexByte(stat, ')'); err == nil && !bytes.HasPrefix(stat[at+1:], []byte(" T")) {
			return false
		}
	}
	return true
}

// Resume lets a frozen server go on.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)             // it may have ended by itself
	_ = s.cmd.Process.Signal(syscall.SIGCONT) // a frozen process would not hear of it
	<-s.ended
	s.cmd = nil
}

// Restart starts a killed or stopped server again, with its data and on its port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.end(syscall.SIGTERM)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) remove() {
	s.Kill()
	_ = os.RemoveAll(s.dir) // the next test sweeps
}

// Database makes an empty database on the server and returns its connection string, in the guide's form with tcp(...).
// Whoever appends parameters uses "&".
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	return database(t, fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/?parseTime=true&loc=Local&readTimeout=10s&writeTimeout=10s", user, password, s.port), s)
}

// database makes a database on the server of a connection string and returns a string that names it.
func database(t testing.TB, server string, s *Server) string {
	t.Helper()
	cfg, err := mysql.ParseDSN(server)
	if err != nil {
		t.Fatal("the connection string cannot be read") // it holds a password
	}
	before, query, _ := strings.Cut(server, "?")
	if query == "" {
		query = "parseTime=true"
	}
	cfg.DBName = ""
	pool, err := sql.Open("mysql", cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	name := "venus_" + strings.ToLower(rand.Text()[:12])
	exec := func(statement string) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := pool.ExecContext(ctx, statement)
		return err
	}
	if err := exec("CREATE DATABASE `" + name + "` /*!40100 DEFAULT CHARACTER SET utf8 */"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s == nil || s.cmd != nil { // a server that is gone takes its data along
			if err := exec("DROP DATABASE `" + name + "`"); err != nil {
				t.Error(err)
			}
		}
		_ = pool.Close()
	})
	return before[:strings.LastIndex(before, "/")+1] + name + "?" + query
}

// shared is the server of a package's tests.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Database makes an empty database on the server that all tests of a package share, which starts with the first that
// asks, and returns its connection string. The package's TestMain calls Run. Where there is no server the test skips.
func Database(t testing.TB) string {
	t.Helper()
	dsn, err := TryDatabase(t)
	if err != nil {
		t.Skip(err)
	}
	return dsn
}

// TryDatabase is Database for tests that have something to do without a server as well: the error says why there is none.
func TryDatabase(t testing.TB) (string, error) {
	t.Helper()
	if dsn := os.Getenv("VENUS_TEST_MYSQL_DSN"); dsn != "" {
		return database(t, dsn, nil), nil
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = newServer(context.Background(), nil)
	}
	if errors.Is(shared.err, errAbsent) {
		return "", shared.err
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server.Database(t), nil
}

// Dump returns the rows of all tables of a database, one a line.
func Dump(t testing.TB, dsn string) string {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal("the connection string cannot be read") // it holds a password
	}
	defer db.Close()
	var all strings.Builder
	for _, table := range rows(t, db, "SHOW TABLES") {
		for _, row := range rows(t, db, "SELECT * FROM `"+strings.TrimSpace(table)+"`") {
			all.WriteString(table + row + "\n")
		}
	}
	return all.String()
}

// rows returns the rows of a query, a blank after each column.
func rows(t testing.TB, db *sql.DB, query string) (out []string) {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	found, err := db.QueryContext(t.Context(), query)
	fail(err)
	defer found.Close()
	columns, err := found.Columns()
	fail(err)
	for found.Next() {
		raw, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
		for i := range raw {
			into[i] = &raw[i]
		}
		fail(found.Scan(into...))
		var line strings.Builder
		for _, b := range raw {
			line.Write(b)
			line.WriteByte(' ')
		}
		out = append(out, line.String())
	}
	fail(found.Err())
	return out
}

// Run runs the tests of a package, ends the server that they shared and returns the program's exit code.
func Run(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.remove()
	}
	return code
}

// exists tells whether a path is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
