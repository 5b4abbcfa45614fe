package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/worker/bus"
)

func TestRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), FileName)
	c := Default()
	c.Messager = Messager{URL: "http://1.2.3.4:39812/rpc/v0", Token: "secret", Wallet: "w"}
	c.Network = NetworkOf("./net.json")
	require.NoError(t, c.Save(file))
	st, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	got, err := Load(file)
	require.NoError(t, err)
	require.Equal(t, c, got)

	require.NoError(t, os.WriteFile(file, []byte("[Sealing]\nMaxSealingSector = 3\n"), 0o600))
	_, err = Load(file)
	require.ErrorContains(t, err, "MaxSealingSector")
	_, err = Load(file + ".none")
	require.ErrorContains(t, err, "venus-sealer init")
}

func TestPoliciesFitTheirNetworks(t *testing.T) {
	for _, name := range params.Names() {
		n, err := params.ByName(name)
		require.NoError(t, err)
		p := Policy(n)
		require.Greater(t, p.MaxTicketAge-p.TicketMargin, n.SealRandomnessLookback, name)
		require.Greater(t, p.MaxProveCommitDuration, p.PreCommitChallengeDelay+p.SeedConfidence)
		require.Greater(t, p.BackoffMax, p.BackoffBase)
	}
	_, err := Default().Fees.MaxFees()
	require.NoError(t, err)
	_, err = Sealing{Tasks: []string{"pc1", "PC9"}}.Kinds()
	require.ErrorContains(t, err, "PC9")
	k, err := Default().Sealing.Kinds()
	require.NoError(t, err)
	require.Len(t, k, 8)
}

func TestWorkers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, FileName)
	require.NoError(t, os.WriteFile(file, []byte("[Sealing.Limits]\npc1 = 2\n[Workers]\nNATS = ['nats://a:4222', 'nats://b:4222']\nTokenFile = '"+filepath.Join(dir, "token")+
		"'\n[Workers.Needs.pc1]\nCores = 3\nMemory = '64GiB'\nDisk = '64GiB'\n"), 0o600))
	c, err := Load(file)
	require.NoError(t, err)
	_, err = c.Workers.Login()
	require.ErrorContains(t, err, "Workers.TokenFile")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte("secret\n"), 0o600))
	l, err := c.Workers.Login()
	require.NoError(t, err)
	require.Equal(t, bus.Login{URLs: []string{"nats://a:4222", "nats://b:4222"}, Token: "secret"}, l)
	c.Workers.User, c.Workers.TokenFile, c.Workers.PasswordFile = "venus", "", c.Workers.TokenFile
	l, err = c.Workers.Login()
	require.NoError(t, err)
	require.Equal(t, bus.Login{URLs: c.Workers.NATS, User: "venus", Password: "secret"}, l)
	have, err := c.Workers.Over(2048, false)
	require.NoError(t, err)
	require.Equal(t, sched.Need{Cores: 3, Memory: 64 << 30, Disk: 64 << 30}, have[sector.TaskPreCommit1])
	require.Equal(t, task.DefaultNeeds(2048, false)[sector.TaskCommit2], have[sector.TaskCommit2])
	limits, err := c.Sealing.TaskLimits()
	require.NoError(t, err)
	require.Equal(t, map[sector.TaskKind]int{sector.TaskPreCommit1: 2}, limits)
	for _, bad := range []map[string]Need{{"PC9": {}}, {"PC1": {Cores: -1}}, {"PC1": {Memory: "much"}}} {
		_, err := (Workers{Needs: bad}).Over(2048, false)
		require.ErrorContains(t, err, "Workers.Needs.PC")
	}
	_, err = Sealing{Limits: map[string]int{"PC9": 1}}.TaskLimits()
	require.ErrorContains(t, err, "Sealing.Limits")
}

func TestBatchRules(t *testing.T) {
	n, err := params.ByName("mainnet")
	require.NoError(t, err)
	rules, err := Default().Sealing.Rules(n)
	require.NoError(t, err)
	pre := rules[sector.KindPreCommit]
	require.EqualValues(t, sector.BreakEven, pre.Above.Int64(), "the default is where the actors' fee breaks even")
	require.EqualValues(t, 360, pre.Slack, "three hours")
	require.Less(t, pre.Slack, n.MaxPreCommitRandLookback/2, "sectors have time to wait")
	require.Len(t, rules, 3)
	off := Default().Sealing
	off.BatchPreCommits, off.AggregateCommits = false, false
	rules, err = off.Rules(n)
	require.NoError(t, err)
	require.Len(t, rules, 1, "terminations always share")
	for _, change := range []func(*Batching){
		func(b *Batching) { b.MaxPreCommitBatch = 257 }, func(b *Batching) { b.MinCommitBatch = 3 }, func(b *Batching) { b.MinPreCommitBatch = 300 },
		func(b *Batching) { b.CommitBatchWait = "soon" }, func(b *Batching) { b.AggregateAboveBaseFee = "much" }, func(b *Batching) { b.TerminateBatchMax = 0 },
	} {
		c := Default().Sealing
		change(&c.Batching)
		_, err := c.Rules(n)
		require.Error(t, err)
	}
}
