package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/filecoin-venus/venus/internal/vectors"
)

// counts are numbers of compared cases.
type counts struct {
	Passed        int `json:"passed"`
	Failed        int `json:"failed"`
	NotApplicable int `json:"notApplicable"`
	// NotCompared are files for which no test recorded anything.
	NotCompared int `json:"notCompared"`
}

func (c *counts) add(o counts) {
	c.Passed += o.Passed
	c.Failed += o.Failed
	c.NotApplicable += o.NotApplicable
	c.NotCompared += o.NotCompared
}

// row is a file or a folder of the report.
type row struct {
	Name string `json:"name"`
	counts
	Reasons []string `json:"reasons,omitempty"`
}

// report is the whole outcome.
type report struct {
	Folders []*row `json:"folders"`
	Files   []*row `json:"files"`
	Total   counts `json:"total"`
	// Unknown are records of files that do not exist.
	Unknown []string `json:"unknown,omitempty"`
	// TestFailure is the output of the tests where they failed.
	TestFailure string `json:"testFailure,omitempty"`
}

// newReport sets the records against the files that exist. Known answers that a
// test holds itself have a row too, without a file.
func newReport(files []string, records []vectors.Record) *report {
	r := &report{}
	byFile := map[string]*row{}
	for _, f := range files {
		byFile[f] = &row{Name: f}
		r.Files = append(r.Files, byFile[f])
	}
	for _, rec := range records {
		f, ok := byFile[rec.File]
		if !ok && strings.HasPrefix(rec.File, vectors.InTests) {
			f, ok = &row{Name: rec.File}, true
			byFile[rec.File] = f
			r.Files = append(r.Files, f)
		}
		if !ok {
			r.Unknown = append(r.Unknown, rec.File)
			continue
		}
		f.add(counts{Passed: rec.Passed, Failed: rec.Failed, NotApplicable: rec.NotApplicable})
		if rec.Reason != "" {
			reason := rec.Reason
			if rec.NotApplicable > 0 {
				reason = fmt.Sprintf("%d: %s", rec.NotApplicable, rec.Reason)
			}
			f.Reasons = append(f.Reasons, reason)
		}
	}
	folders := map[string]*row{}
	for _, f := range r.Files {
		if f.counts == (counts{}) {
			f.NotCompared = 1
			f.Reasons = []string{"no test compares it"}
		}
		sort.Strings(f.Reasons)
		folder := folders[folderOf(f.Name)]
		if folder == nil {
			folder = &row{Name: folderOf(f.Name)}
			folders[folder.Name] = folder
			r.Folders = append(r.Folders, folder)
		}
		folder.add(f.counts)
		r.Total.add(f.counts)
	}
	slices.SortFunc(r.Folders, func(a, b *row) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Files, func(a, b *row) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// folderOf is the folder a file is summed under: its own, at most two deep.
func folderOf(file string) string {
	parts := strings.Split(path.Dir(file), "/")
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

func (r *report) ok() bool {
	return r.Total.Failed == 0 && r.Total.NotCompared == 0 && r.TestFailure == "" && len(r.Unknown) == 0
}

func (r *report) printJSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// printTable prints the files, the folders and the total. In brief only files
// that failed or were not compared are listed.
func (r *report) printTable(out io.Writer, brief bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(f *row) {
		reasons := f.Reasons
		if len(reasons) == 0 {
			reasons = []string{""}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", f.Name, f.Passed, f.Failed, f.NotApplicable, reasons[0])
		for _, more := range reasons[1:] {
			fmt.Fprintf(w, "\t\t\t\t%s\n", more)
		}
	}
	fmt.Fprintln(w, "file\tpassed\tfailed\tnot applicable\treason")
	for _, f := range r.Files {
		if !brief || f.Failed > 0 || f.NotCompared > 0 {
			line(f)
		}
	}
	fmt.Fprintln(w, "\t\t\t\t\nfolder\tpassed\tfailed\tnot applicable\tfiles not compared")
	for _, f := range append(slices.Clone(r.Folders), &row{Name: "total", counts: r.Total}) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", f.Name, f.Passed, f.Failed, f.NotApplicable, f.NotCompared)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, name := range r.Unknown {
		fmt.Fprintf(out, "a test counted %s, which is no vector file\n", name)
	}
	if r.TestFailure != "" {
		fmt.Fprintf(out, "\nthe tests failed:\n%s", r.TestFailure)
	}
	return nil
}
