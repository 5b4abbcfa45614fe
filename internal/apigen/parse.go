package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// maxTopic is the widest topic interface that is allowed.
const maxTopic = 20

// rootImport is the package whose topics other contracts may embed.
const rootImport = "github.com/filecoin-venus/venus/api"

// method is one call of a service.
type method struct {
	name, perm string
	doc        string   // its comment on one line
	paced      bool     // its stream waits for the reader
	params     []string // types without names, context first
	names      []string // the parameters' names, context left out
	results    []string
}

// service is one flattened contract.
type service struct {
	name    string
	methods []method
}

// contracts is what apigen knows of a folder.
type contracts struct {
	fset     *token.FileSet
	name     string
	imports  map[string]string // local name -> import spec as written
	used     map[string]bool
	types    map[string]*ast.InterfaceType
	docs     map[string]string
	parent   *contracts // the root package, when a topic of it is embedded
	qualify  string     // prefix for bare exported names, when read as parent
	services []service
}

// parsePackage reads all hand-written files of a folder.
func parsePackage(dir string) (*contracts, error) {
	c, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	if _, ok := c.imports["api"]; ok {
		if c.parent, err = readDir(filepath.Join(dir, "..")); err != nil {
			return nil, err
		}
		c.parent.qualify = "api"
	}
	names := make([]string, 0, len(c.types))
	for n := range c.types {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if !strings.Contains(c.docs[n], "//api:service") {
			continue
		}
		ms, err := c.flatten(n)
		if err != nil {
			return nil, err
		}
		sort.Slice(ms, func(i, j int) bool { return ms[i].name < ms[j].name })
		for i := 1; i < len(ms); i++ {
			if ms[i].name == ms[i-1].name {
				return nil, fmt.Errorf("service %s: method %s comes twice", n, ms[i].name)
			}
		}
		c.services = append(c.services, service{name: n, methods: ms})
	}
	if len(c.services) == 0 {
		return nil, errors.New("no interface is marked //api:service")
	}
	return c, nil
}

func readDir(dir string) (*contracts, error) {
	c := &contracts{
		fset: token.NewFileSet(), imports: map[string]string{}, used: map[string]bool{},
		types: map[string]*ast.InterfaceType{}, docs: map[string]string{},
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		n := e.Name()
		if !strings.HasSuffix(n, ".go") || strings.HasSuffix(n, "_test.go") || strings.HasSuffix(n, "_gen.go") {
			continue
		}
		f, err := parser.ParseFile(c.fset, filepath.Join(dir, n), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		c.readFile(f)
	}
	return c, nil
}

func (c *contracts) readFile(f *ast.File) {
	c.name = f.Name.Name
	for _, im := range f.Imports {
		path := strings.Trim(im.Path.Value, `"`)
		local := importName(path)
		spec := im.Path.Value
		if im.Name != nil {
			local = im.Name.Name
			spec = local + " " + spec
		}
		c.imports[local] = spec
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			ts := s.(*ast.TypeSpec)
			it, ok := ts.Type.(*ast.InterfaceType)
			if !ok {
				continue
			}
			c.types[ts.Name.Name] = it
			for _, doc := range []*ast.CommentGroup{g.Doc, ts.Doc} {
				if doc == nil {
					continue
				}
				for _, l := range doc.List {
					c.docs[ts.Name.Name] += l.Text + "\n"
				}
			}
		}
	}
}

// importName guesses the package name from an import path, by the habits of
// the libraries that contracts import.
func importName(path string) string {
	parts := strings.Split(path, "/")
	last := parts[len(parts)-1]
	if len(parts) > 1 && len(last) > 1 && last[0] == 'v' && strings.Trim(last[1:], "0123456789") == "" {
		last = parts[len(parts)-2]
	}
	return strings.TrimPrefix(last, "go-")
}

// flatten lists the methods of an interface and of all it embeds.
func (c *contracts) flatten(name string) ([]method, error) {
	it, ok := c.types[name]
	if !ok {
		return nil, fmt.Errorf("interface %s is not declared in package %s", name, c.name)
	}
	var out []method
	own := 0
	for _, f := range it.Methods.List {
		var ms []method
		var err error
		switch t := f.Type.(type) {
		case *ast.FuncType:
			own++
			var m method
			m, err = c.method(name, f, t)
			ms = []method{m}
		case *ast.Ident:
			ms, err = c.flatten(t.Name)
		case *ast.SelectorExpr:
			ms, err = c.flattenParent(t)
		default:
			err = fmt.Errorf("interface %s: cannot embed %T", name, t)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, ms...)
	}
	if own > maxTopic {
		return nil, fmt.Errorf("topic %s has %d methods, at most %d are allowed: split it", name, own, maxTopic)
	}
	return out, nil
}

func (c *contracts) flattenParent(t *ast.SelectorExpr) ([]method, error) {
	if x, ok := t.X.(*ast.Ident); !ok || x.Name != "api" || c.parent == nil {
		return nil, fmt.Errorf("only topics of %s may be embedded from elsewhere", rootImport)
	}
	ms, err := c.parent.flatten(t.Sel.Name)
	if err != nil {
		return nil, err
	}
	for k := range c.parent.used {
		c.used[k] = true
		if _, ok := c.imports[k]; !ok {
			c.imports[k] = c.parent.imports[k]
		}
	}
	return ms, nil
}

func (c *contracts) method(iface string, f *ast.Field, t *ast.FuncType) (method, error) {
	m := method{name: f.Names[0].Name}
	where := iface + "." + m.name
	if f.Doc == nil {
		return m, fmt.Errorf("%s has no doc comment and no permission", where)
	}
	var text []string
	for _, l := range f.Doc.List {
		if p, ok := strings.CutPrefix(l.Text, "//perm:"); ok {
			m.perm = strings.TrimSpace(p)
		} else if l.Text == "//stream:paced" {
			m.paced = true
		} else {
			text = append(text, strings.TrimSpace(strings.TrimPrefix(l.Text, "//")))
		}
	}
	m.doc = strings.Join(text, " ")
	switch m.perm {
	case "read", "write", "sign", "admin":
	default:
		return m, fmt.Errorf("%s: permission %q: want a comment //perm:read, write, sign or admin", where, m.perm)
	}
	if m.doc == "" {
		return m, fmt.Errorf("%s has no doc comment", where)
	}
	m.params = c.fields(t.Params)
	m.results = c.fields(t.Results)
	for _, f := range t.Params.List {
		for _, n := range f.Names {
			m.names = append(m.names, n.Name)
		}
	}
	if len(m.names) != len(m.params) {
		return m, fmt.Errorf("%s: every parameter needs a name", where)
	}
	m.names = m.names[min(1, len(m.names)):]
	if len(m.params) == 0 || m.params[0] != "context.Context" {
		return m, fmt.Errorf("%s: the first parameter must be context.Context", where)
	}
	if n := len(m.results); n == 0 || n > 2 || m.results[n-1] != "error" {
		return m, fmt.Errorf("%s: results must be (error) or (value, error)", where)
	}
	return m, nil
}

// fields prints the type of every parameter, once per name.
func (c *contracts) fields(l *ast.FieldList) []string {
	if l == nil {
		return nil
	}
	var out []string
	for _, f := range l.List {
		s := c.typeString(f.Type)
		for i := 0; i < max(1, len(f.Names)); i++ {
			out = append(out, s)
		}
	}
	return out
}

// typeString prints a type, qualified as the generated file needs it.
func (c *contracts) typeString(e ast.Expr) string {
	var b strings.Builder
	if err := printer.Fprint(&b, c.fset, c.qualified(e)); err != nil {
		return "invalid"
	}
	return b.String()
}

func (c *contracts) qualified(e ast.Expr) ast.Expr {
	switch t := e.(type) {
	case *ast.Ident:
		if c.qualify != "" && ast.IsExported(t.Name) {
			c.used[c.qualify] = true
			return &ast.SelectorExpr{X: ast.NewIdent(c.qualify), Sel: ast.NewIdent(t.Name)}
		}
		return ast.NewIdent(t.Name)
	case *ast.SelectorExpr:
		if x, ok := t.X.(*ast.Ident); ok {
			c.used[x.Name] = true
		}
		return t
	case *ast.StarExpr:
		return &ast.StarExpr{X: c.qualified(t.X)}
	case *ast.ArrayType:
		return &ast.ArrayType{Len: t.Len, Elt: c.qualified(t.Elt)}
	case *ast.MapType:
		return &ast.MapType{Key: c.qualified(t.Key), Value: c.qualified(t.Value)}
	case *ast.ChanType:
		return &ast.ChanType{Dir: t.Dir, Arrow: t.Arrow, Begin: t.Begin, Value: c.qualified(t.Value)}
	}
	return e
}
