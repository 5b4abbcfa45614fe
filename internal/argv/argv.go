// Package argv keeps secrets that were given as arguments out of the process list, which everybody on a machine may read:
// the deployment guide passes tokens and a database's password that way. Start at [Hide].
package argv

import (
	"os"
	"regexp"
	"strings"
)

// What gives a secret away; its group is what is hidden.
var shapes = []*regexp.Regexp{
	regexp.MustCompile(`[\w-]{2,}\.[\w-]{2,}\.([\w-]{20,})`), // a token: the signature
	regexp.MustCompile(`[^:/=]*:([^/]+)@[^@/]*\(`),           // user:password@tcp(host:port)/database
	regexp.MustCompile(`://[^/@:]*:([^/@]+)@`),               // scheme://user:password@host
}

// Hide returns the process's arguments and, on Linux, overwrites the secrets among them where the system shows them. It
// leaves os.Args as good as it was. Call it once, first of all.
func Hide() []string {
	args := make([]string, len(os.Args))
	for i, a := range os.Args {
		args[i] = strings.Clone(a)
		for _, s := range secrets(a) {
			overwrite(s)
		}
	}
	os.Args = args
	return args
}

// secrets are the parts of an argument to hide; they share its memory.
func secrets(arg string) (out []string) {
	for _, shape := range shapes {
		for _, at := range shape.FindAllStringSubmatchIndex(arg, -1) {
			out = append(out, arg[at[2]:at[3]])
		}
	}
	return out
}
