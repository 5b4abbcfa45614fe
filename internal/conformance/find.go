package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// vectorsPath is the package whose recorders mark a test of conformance.
const vectorsPath = "/internal/vectors"

// recorders are its functions that leave a record.
var recorders = []string{"Count", "NotApplicable", "Report"}

// testPackage is what `go list` tells of a package's tests.
type testPackage struct {
	ImportPath                         string
	Dir                                string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

// files are those in which its tests may reach a recorder.
func (p *testPackage) files() []string {
	files := append(slices.Clone(p.TestGoFiles), p.XTestGoFiles...)
	if slices.ContainsFunc(p.Imports, isVectors) {
		files = append(files, p.GoFiles...)
	}
	return files
}

func isVectors(imp string) bool { return strings.HasSuffix(imp, vectorsPath) }

func (p *testPackage) usesVectors() bool {
	return slices.ContainsFunc(append(slices.Clone(p.TestImports), p.XTestImports...), isVectors)
}

// findTests lists the packages with tests that record comparisons and the names
// of those tests.
func findTests(root string) (packages, tests []string, err error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("list packages: %w", err)
	}
	found := map[string]bool{}
	list := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p testPackage
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, fmt.Errorf("list packages: %w", err)
		}
		if !p.usesVectors() {
			continue
		}
		names, err := testsOf(&p)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range names {
			found[n] = true
		}
		if len(names) > 0 {
			packages = append(packages, p.ImportPath)
		}
	}
	for n := range found {
		tests = append(tests, n)
	}
	sort.Strings(tests)
	if len(tests) == 0 {
		return nil, nil, errors.New("no test records a comparison")
	}
	return packages, tests, nil
}

// testsOf names the tests of a package that record comparisons, directly or
// through other functions of its test files.
func testsOf(p *testPackage) ([]string, error) {
	names := map[string][]string{} // of a function: what it names
	touches := map[string]bool{}
	for _, f := range p.files() {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read tests of %s: %w", p.ImportPath, err)
		}
		for _, d := range file.Decls {
			for _, name := range declared(d) {
				ast.Inspect(d, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.SelectorExpr:
						pkg, ok := n.X.(*ast.Ident)
						touches[name] = touches[name] || ok && pkg.Name == "vectors" && slices.Contains(recorders, n.Sel.Name)
					case *ast.Ident:
						names[name] = append(names[name], n.Name)
					}
					return true
				})
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for name, used := range names {
			if !touches[name] && slices.ContainsFunc(used, func(u string) bool { return touches[u] }) {
				touches[name], changed = true, true
			}
		}
	}
	var out []string
	for name := range touches {
		if touches[name] && strings.HasPrefix(name, "Test") && name != "TestMain" {
			out = append(out, name)
		}
	}
	return out, nil
}

// declared names the functions and variables of a declaration: a table of
// functions leads to vectors as well.
func declared(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return []string{d.Name.Name}
	case *ast.GenDecl:
		var out []string
		for _, s := range d.Specs {
			if v, ok := s.(*ast.ValueSpec); ok {
				for _, n := range v.Names {
					out = append(out, n.Name)
				}
			}
		}
		return out
	}
	return nil
}
