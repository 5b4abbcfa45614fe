package mariadb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// errAbsent says why tests are skipped.
var errAbsent = errors.New("no MariaDB here: this machine has neither mariadbd nor apt-get and dpkg-deb to fetch it with")

// thePackage is Debian's server without the parts that start it with the machine.
const thePackage = "mariadb-server-core"

// binaries is an installed or unpacked server.
type binaries struct {
	mariadbd string
	base     string // what /usr would be
	share    string // error messages and the statements that make the system tables
	libs     string // folders of shared libraries beside the system's, "" for an installed server
}

// env is what a server gets to see of our environment.
func (b binaries) env() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	if b.libs != "" {
		env = append(env, "LD_LIBRARY_PATH="+b.libs)
	}
	return env
}

// systemTables are the statements that make the system tables.
func (b binaries) systemTables() (string, error) {
	all := "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\nSET @current_hostname='localhost';\n"
	for _, name := range []string{"system_tables.sql", "system_tables_data.sql"} {
		found, err := filepath.Glob(filepath.Join(b.share, "*_"+name)) // mysql_ or, in newer versions, mariadb_
		if err != nil || len(found) == 0 {
			return "", fmt.Errorf("%s holds no %s", b.share, name)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			return "", err
		}
		all += string(text) + "\n"
	}
	return all, nil
}

// find looks for a server of the machine, then for one in the cache, then fetches it.
func find(ctx context.Context) (binaries, error) {
	for _, path := range []string{"mariadbd", "/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd"} {
		if path, err := exec.LookPath(path); err == nil {
			return at(filepath.Dir(filepath.Dir(path)))
		}
	}
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return binaries{}, errAbsent
		}
	}
	cache, err := cacheDir()
	if err != nil {
		return binaries{}, err
	}
	// One process fetches, the others wait for it.
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return binaries{}, fmt.Errorf("lock the cache of MariaDB: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return binaries{}, fmt.Errorf("lock the cache of MariaDB: %w", err)
	}
	root := filepath.Join(cache, "root")
	if !exists(root) {
		if err := fetch(ctx, cache, root); err != nil {
			return binaries{}, fmt.Errorf("fetch MariaDB: %w", err)
		}
	}
	b, err := at(filepath.Join(root, "usr"))
	if err != nil {
		return b, err
	}
	b.libs, err = libraries(root)
	return b, err
}

// at looks at a server below what /usr would be.
func at(base string) (binaries, error) {
	b := binaries{mariadbd: filepath.Join(base, "sbin", "mariadbd"), base: base}
	if !exists(b.mariadbd) {
		b.mariadbd = filepath.Join(base, "bin", "mariadbd")
	}
	for _, share := range []string{"share/mariadb", "share/mysql"} {
		b.share = filepath.Join(base, share)
		if exists(filepath.Join(b.share, "english")) {
			return b, nil
		}
	}
	return b, fmt.Errorf("%s has no error messages beside it", b.mariadbd)
}

// libraries lists the folders of shared libraries that the packages brought along.
func libraries(root string) (string, error) {
	found, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*", "*.so*"))
	if err != nil {
		return "", err
	}
	old, err := filepath.Glob(filepath.Join(root, "lib", "*", "*.so*"))
	if err != nil {
		return "", err
	}
	var dirs []string
	seen := map[string]bool{}
	for _, f := range append(found, old...) {
		if d := filepath.Dir(f); !seen[d] {
			seen[d] = true
			dirs = append(dirs, d)
		}
	}
	return strings.Join(dirs, ":"), nil
}

// cacheDir is where the unpacked packages of this release of the system lie. Root's own cache would be out of reach for
// the user that the server runs as.
func cacheDir() (string, error) {
	base := "/var/cache"
	if os.Getuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("nowhere to keep MariaDB: %w", err)
		}
	}
	dir := filepath.Join(base, "venus-test", thePackage+"-"+release())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache of MariaDB: %w", err)
	}
	return dir, nil
}

// release names the system's release: what was fetched for another one would not find its libraries.
func release() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "unknown"
	}
	id, version := "", ""
	for _, line := range strings.Split(string(b), "\n") {
		switch k, v, _ := strings.Cut(line, "="); k {
		case "ID":
			id = strings.Trim(v, `"`)
		case "VERSION_ID":
			version = strings.Trim(v, `"`)
		}
	}
	return id + version
}

// fetch downloads the server's package, with those it needs and the machine lacks, and unpacks them into root. apt-get
// works on lists and archives of our own, which needs no rights; it is configured as the machine is.
func fetch(ctx context.Context, cache, root string) error {
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, d := range []string{"lists/partial", "cache/archives/partial", "debs", "root"} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
			return err
		}
	}
	apt := func(args ...string) (string, error) {
		opts := []string{"-q", "-o", "Dir::State::lists=" + work + "/lists", "-o", "Dir::Cache=" + work + "/cache", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "-o", "Debug::NoLocking=true"}
		return run(ctx, filepath.Join(work, "debs"), "apt-get", append(opts, args...)...)
	}
	if _, err := apt("update"); err != nil {
		return err
	}
	plan, err := apt("install", "--simulate", "--no-install-recommends", thePackage)
	if err != nil {
		return err
	}
	var names []string
	for _, line := range strings.Split(plan, "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Inst" {
			names = append(names, f[1])
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("apt-get would install nothing:\n%s", plan)
	}
	if _, err := apt(append([]string{"download"}, names...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(work, "debs", "*.deb"))
	if err != nil || len(debs) != len(names) {
		return fmt.Errorf("downloaded %d packages of %d", len(debs), len(names))
	}
	for _, deb := range debs {
		if _, err := run(ctx, work, "dpkg-deb", "-x", deb, filepath.Join(work, "root")); err != nil {
			return err
		}
	}
	return os.Rename(filepath.Join(work, "root"), root)
}

func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
