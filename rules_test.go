// Package venus_test holds the rules of the house as tests: which floor may
// import which, what a program may link, and the habits a reader relies on.
// The plan they enforce is told in ARCHITECTURE.md.
package venus_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

const module = "github.com/filecoin-venus/venus"

// floors maps a folder to its floor; the longest matching prefix counts.
// Imports go down or stay on their floor.
var floors = map[string]int{
	"types": 0, "params": 0,
	"crypto": 1, "proofs": 1,
	"ipld": 2, "repo": 2,
	"vm": 3, "state": 3,
	"chain": 4, "consensus": 4, "beacon": 4, "mpool": 4, "genesis": 4, "snapshot": 4,
	"p2p": 5, "chainsync": 5,
	"api":  0, // contracts import nouns only
	"rpc":  6,
	"auth": 7, "wallet": 7, "messager": 7, "node": 7,
	"sealer": 8, "worker": 8, "mining": 8,
	"cli": 9, "console": 9, "cluster": 9, "sim": 9, "cmd": 10,
	"internal": -1, // beside the floors, checked apart
	"test":     11,
}

// sealed lists imports that the floors would allow and the plan does not.
var sealed = []struct{ from, to, reason string }{
	{"vm", "proofs/prove", "the node verifies, it never proves"},
	{"chain", "proofs/prove", "the node verifies, it never proves"},
	{"consensus", "proofs/prove", "the node verifies, it never proves"},
	{"node", "proofs/prove", "the node verifies, it never proves"},
	{"proofs/verify", "proofs/prove", "verification links no prover"},
	{"proofs/verify", "proofs/groth16/prover", "verification links no prover"},
	{"sealer", "vm", "the sealer asks the chain, it does not run it"},
	{"rpc", "auth", "rpc takes a function, it knows no service"},
	{"cli", "sealer/", "commands talk to services through api and rpc"},
}

// banned lists what a program must not link, and why.
var banned = map[string]map[string]string{
	"cmd/venus-wallet": {
		"/chain": "the wallet signs, it follows no chain", "/p2p": "the wallet has no network of peers", "/vm": "the wallet runs no actors",
		"gorm.io/driver/mysql": "keys stay in files",
	},
	"cmd/venus-worker": {"/chain": "workers hold no chain", "/vm": "workers hold no chain", "/p2p": "workers hold no chain", "github.com/nats-io/nats-server": "workers are clients"},
	"cmd/venus":        {"/proofs/prove": "the node verifies, it never proves", "/proofs/groth16/prover": "the node verifies, it never proves"},
}

func TestRulesFloors(t *testing.T) {
	for dir, imports := range importsByDir(t) {
		from, ok := floorOf(dir)
		if !ok {
			t.Errorf("%s stands on no floor: add it to the table", dir)
			continue
		}
		for _, imp := range imports {
			checkImport(t, dir, from, imp)
		}
	}
}

func checkImport(t *testing.T, dir string, from int, imp string) {
	t.Helper()
	if strings.HasPrefix(dir, "internal/gen") || strings.HasPrefix(dir, "internal/conformance") {
		return // tools
	}
	to, ok := floorOf(imp)
	if !ok {
		t.Errorf("%s imports %s, which stands on no floor", dir, imp)
		return
	}
	if from >= 0 && to > from {
		t.Errorf("%s (floor %d) imports %s (floor %d): imports only go down", dir, from, imp, to)
	}
	if from < 0 && to > 0 {
		t.Errorf("%s imports %s: internal packages know nothing above the nouns", dir, imp)
	}
	for _, s := range sealed {
		if under(dir, s.from) && under(imp, s.to) {
			t.Errorf("%s imports %s: %s", dir, imp, s.reason)
		}
	}
}

func floorOf(dir string) (int, bool) {
	best, floor := "", 0
	for prefix, f := range floors {
		if under(dir, prefix) && len(prefix) > len(best) {
			best, floor = prefix, f
		}
	}
	return floor, best != ""
}

func under(dir, prefix string) bool {
	return dir == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(dir, strings.TrimSuffix(prefix, "/")+"/")
}

func TestRulesProgramsLinkOnlyWhatTheyNeed(t *testing.T) {
	for prog, bans := range banned {
		out, err := exec.Command("go", "list", "-deps", "./"+prog).Output()
		if err != nil {
			t.Errorf("list dependencies of %s: %v", prog, err)
			continue
		}
		for _, dep := range strings.Fields(string(out)) {
			for ban, reason := range bans {
				full := ban
				if strings.HasPrefix(ban, "/") {
					full = module + ban
				}
				if dep == full || strings.HasPrefix(dep, full+"/") {
					t.Errorf("%s links %s: %s", prog, dep, reason)
				}
			}
		}
	}
}

// oversize lists functions and files that may exceed the limits, with the reason.
var oversize = map[string]string{}

const (
	maxFunctionLines = 80
	maxFileLines     = 800
)

func TestRulesSizes(t *testing.T) {
	eachFile(t, func(path string, fset *token.FileSet, f *ast.File) {
		if isGenerated(f) {
			return
		}
		if n := fset.Position(f.End()).Line; n > maxFileLines && oversize[path] == "" {
			t.Errorf("%s has %d lines, the limit is %d", path, n, maxFileLines)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
			name := path + ":" + fn.Name.Name
			if lines > maxFunctionLines && oversize[name] == "" && !strings.HasSuffix(path, "_test.go") {
				t.Errorf("%s has %d lines, the limit is %d", name, lines, maxFunctionLines)
			}
		}
	})
}

func TestRulesPackageDocs(t *testing.T) {
	docs := map[string]bool{}
	eachFile(t, func(path string, _ *token.FileSet, f *ast.File) {
		if strings.HasSuffix(path, "_test.go") && filepath.Dir(path) != "." {
			return
		}
		dir := filepath.Dir(path)
		docs[dir] = docs[dir] || f.Doc != nil
	})
	for dir, ok := range docs {
		if !ok {
			t.Errorf("package in %s has no doc comment", dir)
		}
	}
}

func TestRulesExportedNamesAreDocumented(t *testing.T) {
	eachFile(t, func(path string, _ *token.FileSet, f *ast.File) {
		if isGenerated(f) || strings.HasSuffix(path, "_test.go") || f.Name.Name == "main" {
			return
		}
		for _, d := range f.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no doc comment", path, name)
			}
		}
	})
}

// wellKnown are methods whose meaning their standard interface tells.
var wellKnown = map[string]bool{
	"String": true, "Error": true, "Unwrap": true, "Is": true, "Len": true, "Less": true, "Swap": true,
	"MarshalJSON": true, "UnmarshalJSON": true, "MarshalText": true, "UnmarshalText": true, "MarshalCBOR": true, "UnmarshalCBOR": true,
}

func undocumented(d ast.Decl) []string {
	var out []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !(d.Recv != nil && wellKnown[d.Name.Name]) {
			out = append(out, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
					out = append(out, s.Name.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && s.Doc == nil && d.Doc == nil && s.Comment == nil {
					out = append(out, s.Names[0].Name)
				}
			}
		}
	}
	return out
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// clockUsers may ask the operating system for the time, with the reason.
var clockUsers = map[string]string{
	"internal/clock": "the one door", "cmd": "mains hand the real clock down", "test": "end-to-end tests live in real time",
}

// printers may write to standard output.
var printers = []string{"cli", "cmd", "internal/gen", "internal/apigen", "internal/conformance", "test"}

func TestRulesTimeAndPrinting(t *testing.T) {
	eachFile(t, func(path string, _ *token.FileSet, f *ast.File) {
		dir := filepath.Dir(path)
		mayTell, mayPrint := false, strings.HasSuffix(path, "_test.go")
		for p := range clockUsers {
			mayTell = mayTell || under(dir, p)
		}
		for _, p := range printers {
			mayPrint = mayPrint || under(dir, p)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch name := calledName(call); name {
			case "time.Now", "time.Sleep", "time.After", "time.NewTicker", "time.NewTimer", "time.Tick", "time.Since", "time.Until":
				test := strings.HasSuffix(path, "_test.go")
				if !mayTell && !test {
					t.Errorf("%s calls %s: take a clock.Clock", path, name)
				}
				if test && name == "time.Sleep" {
					t.Errorf("%s sleeps: wait for what it needs, with a deadline", path)
				}
			case "fmt.Print", "fmt.Printf", "fmt.Println":
				if !mayPrint {
					t.Errorf("%s calls %s: print through cli/render", path, name)
				}
			}
			return true
		})
	})
}

func calledName(c *ast.CallExpr) string {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return pkg.Name + "." + sel.Sel.Name
}

// maxInterfaceMethods bounds interfaces outside of api, where service contracts
// are split by topic and may have maxTopicMethods.
const (
	maxInterfaceMethods = 6
	maxTopicMethods     = 20
)

func TestRulesInterfacesAreSmall(t *testing.T) {
	eachFile(t, func(path string, _ *token.FileSet, f *ast.File) {
		limit := maxInterfaceMethods
		if under(filepath.Dir(path), "api") {
			limit = maxTopicMethods
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if i, ok := spec.Type.(*ast.InterfaceType); ok && len(i.Methods.List) > limit && oversize[path+":"+spec.Name.Name] == "" {
				t.Errorf("%s: interface %s has %d methods, the limit is %d", path, spec.Name.Name, len(i.Methods.List), limit)
			}
			return true
		})
	})
}

var todo = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func TestRulesNoLooseTodos(t *testing.T) {
	eachFile(t, func(path string, fset *token.FileSet, f *ast.File) {
		if path == "rules_test.go" {
			return
		}
		for _, g := range f.Comments {
			for _, c := range g.List {
				if todo.MatchString(c.Text) && !regexp.MustCompile(`#\d+`).MatchString(c.Text) {
					t.Errorf("%s: %s without an issue number", fset.Position(c.Pos()), todo.FindString(c.Text))
				}
			}
		}
	})
}

var (
	failpoint = regexp.MustCompile(`fault\.Point\("([^"]+)"\)`)
	// enumerated are the packages whose tests read the marks from the source and die at each.
	enumerated = map[string]string{"messager": "messager/faults_test.go", "sealer": "sealer/pipeline/crash_test.go", "store": "sealer/store/crash_test.go", "wallet": "cmd/venus-wallet/crash_test.go"}
	// unbroken are the marks that no test breaks at, with the reason.
	unbroken = map[string]string{
		"exec/stateFlush": "a state that is not kept is computed again",
		"collect/copy":    "the marks before and after it are broken at; a copy has no effect by itself",
	}
)

// TestRulesFailpointsAreExercised: where something must be durable before something else is seen, a test breaks it there.
func TestRulesFailpointsAreExercised(t *testing.T) {
	marks, tests := map[string]string{}, ""
	eachFile(t, func(path string, _ *token.FileSet, f *ast.File) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			tests += string(b)
			return
		}
		for _, m := range failpoint.FindAllStringSubmatch(string(b), -1) {
			marks[m[1]] = path
		}
	})
	if len(marks) < 30 {
		t.Errorf("found only %d marks", len(marks))
	}
	for mark, path := range marks {
		area, _, _ := strings.Cut(mark, "/")
		if enumerated[area] == "" && unbroken[mark] == "" && !strings.Contains(tests, mark) {
			t.Errorf("%s: no test breaks at the mark %q", path, mark)
		}
	}
	for area, path := range enumerated {
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, []byte("range failpoints(t)")) {
			t.Errorf("%s does not go through the marks of %s: %v", path, area, err)
		}
	}
}

var mdLink = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

func TestRulesDocLinksResolve(t *testing.T) {
	for _, path := range tracked(t, ".md") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mdLink.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}

var storyRef = regexp.MustCompile("`([a-z][a-z0-9/]*(?:/[a-z0-9]+)*)\\.([A-Z]\\w*)(?:\\.([A-Z]\\w*))?`")

// TestRulesStoriesNameRealFunctions keeps ARCHITECTURE.md true: every
// `package.Name` or `package.Type.Method` in it exists.
func TestRulesStoriesNameRealFunctions(t *testing.T) {
	b, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	names := declaredNames(t)
	for _, m := range storyRef.FindAllStringSubmatch(string(b), -1) {
		want := m[1] + "." + m[2]
		if m[3] != "" {
			want += "." + m[3]
		}
		if !names[want] {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", want)
		}
	}
}

// TestRulesLessonsNameRealTests keeps docs/lessons.md true: every `package.TestName` in it exists.
func TestRulesLessonsNameRealTests(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("docs", "lessons.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := declaredNames(t)
	refs := regexp.MustCompile("`([a-z][a-z0-9/-]*)\\.((?:Test|Fuzz|Benchmark)\\w+)`").FindAllStringSubmatch(string(b), -1)
	if len(refs) < 40 {
		t.Errorf("docs/lessons.md names %d tests: 16 holes and 24 complaints have one each", len(refs))
	}
	for _, m := range refs {
		if !names[m[1]+"."+m[2]] {
			t.Errorf("docs/lessons.md names %s.%s, which does not exist", m[1], m[2])
		}
	}
}

func declaredNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	eachFile(t, func(path string, _ *token.FileSet, f *ast.File) {
		dir := filepath.Dir(path)
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[dir+"."+d.Name.Name] = true
				} else if r := receiverName(d); r != "" {
					names[dir+"."+r+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok {
						names[dir+"."+ts.Name.Name] = true
					}
				}
			}
		}
	})
	return names
}

func receiverName(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	if s, ok := typ.(*ast.StarExpr); ok {
		typ = s.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// machineWords would tie the repository to one machine or one way of working.
var machineWords = regexp.MustCompile(`(^|[^\w.])/(work|root|farm)/`)

func TestRulesNoPathsOfOneMachine(t *testing.T) {
	for _, path := range tracked(t, "") {
		if path == "rules_test.go" || strings.HasSuffix(path, ".gz") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if m := machineWords.Find(b); m != nil {
			t.Errorf("%s holds a path of one machine: %q", path, m)
		}
	}
}

func isGenerated(f *ast.File) bool { return ast.IsGenerated(f) }

// eachFile parses every tracked Go file.
func eachFile(t *testing.T, visit func(path string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	for _, path := range tracked(t, ".go") {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		visit(path, fset, f)
	}
}

func tracked(t *testing.T, suffix string) []string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	var files []string
	for _, p := range strings.Split(string(bytes.TrimRight(out, "\x00")), "\x00") {
		if _, err := os.Stat(p); err == nil && strings.HasSuffix(p, suffix) {
			files = append(files, p)
		}
	}
	sort.Strings(files)
	return files
}

// importsByDir lists the imports inside the module of every package, tests
// excluded: tests may reach up to drive what they test.
func importsByDir(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if base := d.Name(); path != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "bin") {
			return filepath.SkipDir
		}
		pkg, err := build.ImportDir(path, 0)
		if err != nil {
			if _, none := err.(*build.NoGoError); none {
				return nil
			}
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, imp := range pkg.Imports {
			if rest, ok := strings.CutPrefix(imp, module+"/"); ok {
				out[filepath.ToSlash(path)] = append(out[filepath.ToSlash(path)], rest)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
