// Command apigen writes proxy_gen.go for a package of service contracts.
//
// It reads the Go files of one folder (the working directory, as `go generate`
// sets it), finds every interface whose doc comment has a line `//api:service`,
// flattens its embedded topics and writes one proxy struct for it: a function
// field per method under Internal, tagged with the permission, and a forwarding
// method. The tags also hold the comment and the parameters' names, for
// descriptions of the contract, and whether a stream waits for its reader
// (`//stream:paced`; others drop a reader that falls behind). It refuses a method without a doc comment, without a permission or
// without a context, and a topic that is wider than 20 methods.
//
// Start reading at main.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "apigen:", err)
		os.Exit(1)
	}
}

// run generates the proxies of the package in dir.
func run(dir string) error {
	pkg, err := parsePackage(dir)
	if err != nil {
		return fmt.Errorf("read contracts of %s: %w", dir, err)
	}
	out, err := pkg.render()
	if err != nil {
		return fmt.Errorf("render proxies of %s: %w", dir, err)
	}
	return os.WriteFile(dir+"/proxy_gen.go", out, 0o644)
}
