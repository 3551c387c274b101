package archtest

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Public lists the packages that a stranger can import: not internal, no programs, no examples. The root is the map of
// the packages and holds no code.
func (g Graph) Public() []Package {
	return slices.DeleteFunc(g.Own(), func(p Package) bool {
		rel, _ := g.Rel(p.ImportPath)
		return rel == "." || p.Name == "main" || slices.ContainsFunc(strings.Split(rel, "/"), func(element string) bool {
			return element == "internal" || element == "examples"
		})
	})
}

// Undocumented says what the package in dir leaves unexplained: the package itself, an exported symbol, a field of an
// exported Config, or the want of a runnable example.
func Undocumented(dir string) ([]string, error) {
	fset := token.NewFileSet()
	files, err := parseFolder(fset, dir)
	if err != nil {
		return nil, err
	}
	var missing []string
	report := func(at ast.Node, format string, args ...any) {
		position := fset.Position(at.Pos())
		missing = append(missing, fmt.Sprintf("%s:%d: %s", filepath.Base(position.Filename), position.Line, fmt.Sprintf(format, args...)))
	}
	var tests []*ast.File
	packageComment := false
	for _, f := range files {
		if strings.HasSuffix(fset.Position(f.Package).Filename, "_test.go") {
			tests = append(tests, f)
			continue
		}
		packageComment = packageComment || f.Doc != nil
		for _, d := range f.Decls {
			undocumentedDecl(d, report)
		}
	}
	if !packageComment {
		missing = append(missing, "no package comment: say which problem it solves, its smallest use, what it does not do and how it fails")
	}
	if !slices.ContainsFunc(doc.Examples(tests...), func(e *doc.Example) bool { return e.Output != "" || e.EmptyOutput }) {
		missing = append(missing, "no runnable example: write a func Example with an // Output: comment")
	}
	return missing, nil
}

func parseFolder(fset *token.FileSet, dir string) ([]*ast.File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func undocumentedDecl(d ast.Decl, report func(ast.Node, string, ...any)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
			report(d, "%s has no comment", d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
					report(spec, "type %s has no comment", spec.Name.Name)
				}
				undocumentedFields(spec, report)
			case *ast.ValueSpec:
				// A comment on the group covers its members.
				for _, name := range spec.Names {
					if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
						report(spec, "%s has no comment", name.Name)
					}
				}
			}
		}
	}
}

// exportedReceiver says whether a method belongs to an exported type; functions do.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return true
	}
	t := f.Recv.List[0].Type
	for {
		switch inner := t.(type) {
		case *ast.StarExpr:
			t = inner.X
		case *ast.IndexExpr:
			t = inner.X
		case *ast.IndexListExpr:
			t = inner.X
		case *ast.Ident:
			return inner.IsExported()
		default:
			return true
		}
	}
}

// undocumentedFields asks for a comment on every setting: its effect, unit, default and range are its contract.
func undocumentedFields(spec *ast.TypeSpec, report func(ast.Node, string, ...any)) {
	s, ok := spec.Type.(*ast.StructType)
	if !ok || !spec.Name.IsExported() || !strings.HasSuffix(spec.Name.Name, "Config") {
		return
	}
	// One comment may explain two settings that belong together; it then names both.
	var said strings.Builder
	for _, field := range s.Fields.List {
		said.WriteString(field.Doc.Text() + field.Comment.Text())
	}
	words := strings.FieldsFunc(said.String(), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, field := range s.Fields.List {
		for _, name := range field.Names {
			if name.IsExported() && field.Doc == nil && field.Comment == nil && !slices.Contains(words, name.Name) {
				report(field, "%s.%s has no comment", spec.Name.Name, name.Name)
			}
		}
	}
}
