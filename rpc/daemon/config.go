package daemon

import (
	"bytes"
	"fmt"
	"os"

	"github.com/pelletier/go-toml/v2"

	"github.com/filecoin-venus/venus/api"
)

// ReadConfig lays the TOML file at path over what into points to. A key that
// does not exist there is an error, with a hint how to help it; an absent file
// changes nothing and gives fs.ErrNotExist.
func ReadConfig(path string, into any, hint string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(into); err != nil {
		return api.Errorf(api.CodeInvalid, "configuration %s: %w", path, err).WithHint("%s", hint)
	}
	return nil
}
