package service

import "github.com/prometheus/client_golang/prometheus"

var (
	storageCapacity  = prometheus.NewDesc("venus_sealer_storage_capacity_bytes", "Size of a storage path, 0 when nothing limits it.", []string{"path"}, nil)
	storageAvailable = prometheus.NewDesc("venus_sealer_storage_available_bytes", "Free room of a storage path.", []string{"path"}, nil)
	storageAway      = prometheus.NewDesc("venus_sealer_storage_away", "1 while a storage path is not served.", []string{"path"}, nil)
	storageFiles     = prometheus.NewDesc("venus_sealer_storage_files", "Files of sectors that a storage path holds.", []string{"path"}, nil)
)

// storageGauges are read when somebody asks, without asking a disk.
type storageGauges struct{ s *Service }

// Describe implements prometheus.Collector.
func (storageGauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{storageCapacity, storageAvailable, storageAway, storageFiles} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g storageGauges) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, v float64, path string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, path)
	}
	for _, p := range g.s.store.Paths() {
		st := g.s.store.Last(p.ID)
		send(storageCapacity, float64(st.Capacity), p.Dir)
		send(storageAvailable, float64(st.Available), p.Dir)
		send(storageAway, number(p.Away != ""), p.Dir)
		send(storageFiles, float64(len(g.s.store.Holds(p.ID))), p.Dir)
	}
	for dir := range g.s.store.Lost() {
		send(storageAway, 1, dir)
	}
}
