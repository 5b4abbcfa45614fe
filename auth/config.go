package auth

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// DefaultListen is where venus-auth listens: the other machines of a cluster
// must reach it, and managing needs a token from everywhere.
const DefaultListen = "0.0.0.0:8989"

// configTemplate is what a first start writes.
//
//go:embed config.toml
var configTemplate []byte

// Config is the file config.toml. Names are read without regard to case.
type Config struct {
	Listen string
	Port   string // the original's key: all interfaces, this port
	DB     DBConfig
	Log    struct {
		LogLevel string
		// Type is 1 or influxdb, as is HookSwitch, to write to InfluxDB beside the console.
		Type       any
		HookSwitch bool
		InfluxDB   struct {
			ServerURL, AuthToken, Org, Bucket string
			FlushInterval                     duration
			BatchSize                         int
		}
	}
	Audit struct {
		// Keep is how long entries of the audit log are kept.
		Keep duration
	}
}

// DBConfig says where tokens are kept: badger or mysql, and for the latter how.
type DBConfig struct {
	Type         string
	DSN          string
	MaxOpenConns int
	MaxIdleConns int
	MaxLifeTime  duration
	MaxIdleTime  duration
}

// The kinds of database.
const (
	Badger = "badger"
	MySQL  = "mysql"
)

// defaultKeep is how long the audit log is kept when nothing is said.
const defaultKeep = 365 * 24 * time.Hour

// influx tells whether the log also goes to InfluxDB.
func (c Config) influx() bool {
	switch t := c.Log.Type.(type) {
	case int64:
		return t == 1 || c.Log.HookSwitch
	case string:
		return strings.EqualFold(t, "influxdb") || t == "1" || c.Log.HookSwitch
	}
	return c.Log.HookSwitch
}

// duration accepts "120s" and, as the original wrote it, nanoseconds.
type duration time.Duration

// UnmarshalText reads "120s".
func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// LoadConfig reads the file and writes it, with comments, when there is none.
// Unknown names are returned for a warning: a file of the original has some.
func LoadConfig(path string) (Config, []string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = configTemplate
		if err := fsutil.WriteFileAtomic(path, b, 0o600); err != nil {
			return Config{}, nil, fmt.Errorf("write %s: %w", path, err)
		}
	} else if err != nil {
		return Config{}, nil, fmt.Errorf("read configuration: %w", err)
	}
	c, unknown, err := parseConfig(b)
	if err != nil {
		return Config{}, nil, api.Errorf(api.CodeInvalid, "%s: %v", path, err).WithHint("correct the file, or move it away and let venus-auth write a new one")
	}
	return c, unknown, nil
}

func parseConfig(b []byte) (Config, []string, error) {
	var c Config
	var unknown []string
	err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(&c)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		for _, e := range strict.Errors {
			unknown = append(unknown, fmt.Sprint(e.Key()))
		}
		c = Config{}
		err = toml.Unmarshal(b, &c)
	}
	if err != nil {
		return Config{}, nil, err
	}
	switch c.DB.Type {
	case "":
		c.DB.Type = Badger
	case Badger:
	case MySQL:
		if c.DB.DSN == "" {
			return Config{}, nil, errors.New("[db] DSN is missing: it names the MySQL database")
		}
	default:
		return Config{}, nil, fmt.Errorf("[db] type %q is not known: use badger or mysql", c.DB.Type)
	}
	if c.Audit.Keep <= 0 {
		c.Audit.Keep = duration(defaultKeep)
	}
	if c.Listen == "" {
		c.Listen = DefaultListen
		if c.Port != "" {
			c.Listen = "0.0.0.0:" + c.Port
		}
	}
	return c, unknown, nil
}

var (
	sectionLine = regexp.MustCompile(`^\s*\[\s*([\w.]+)\s*\]`)
	typeLine    = regexp.MustCompile(`(?i)^(\s*type\s*=\s*)("[^"]*"|'[^']*')(.*)$`)
)

// SetDBType changes the type in the section [db] of a configuration and nothing else in it.
func SetDBType(path, to string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	lines := strings.Split(string(b), "\n")
	inDB, at := false, -1
	for i, l := range lines {
		if m := sectionLine.FindStringSubmatch(l); m != nil {
			inDB = strings.EqualFold(m[1], "db")
			if inDB {
				at = i
			}
		}
		if m := typeLine.FindStringSubmatch(l); inDB && m != nil {
			lines[i] = m[1] + `"` + to + `"` + m[3]
			return fsutil.WriteFileAtomic(path, []byte(strings.Join(lines, "\n")), 0o600)
		}
	}
	line := fmt.Sprintf("type = %q", to)
	if at < 0 {
		lines = append(lines, "[db]", line, "")
	} else {
		lines = append(lines[:at+1], append([]string{line}, lines[at+1:]...)...)
	}
	return fsutil.WriteFileAtomic(path, []byte(strings.Join(lines, "\n")), 0o600)
}
