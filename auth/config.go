package auth

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	DB     struct {
		Type         string
		DSN          string
		MaxOpenConns int
		MaxIdleConns int
		MaxLifeTime  duration
		MaxIdleTime  duration
	}
	Log struct {
		LogLevel   string
		HookSwitch bool
	}
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
	case "", "badger":
	case "mysql":
		return Config{}, nil, errors.New("[db] type: this version keeps tokens in badger only")
	default:
		return Config{}, nil, fmt.Errorf("[db] type %q is not known: use badger", c.DB.Type)
	}
	if c.Log.HookSwitch {
		return Config{}, nil, errors.New("[log] hookSwitch: this version logs to the console only")
	}
	if c.Listen == "" {
		c.Listen = DefaultListen
		if c.Port != "" {
			c.Listen = "0.0.0.0:" + c.Port
		}
	}
	return c, unknown, nil
}
