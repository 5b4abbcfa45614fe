// Package mariadb gives tests a real MariaDB: Debian's mariadbd, run as an unprivileged process on the loopback
// interface with a data folder of its own. Start at Database; Run is the body of a package's TestMain.
//
// Nothing is installed. A mariadbd of the machine is used as it is; without one, the packages are downloaded with apt-get
// and unpacked into a cache folder, as root or not. A test skips only where there is neither.
//
// The environment variable VENUS_TEST_MYSQL_DSN names another server instead, with a user that may create databases;
// tests that kill their server keep starting their own.
//
// Invariants: a database handed out is empty and is dropped when its test ends; a server dies with the process that
// started it; its data folder goes with it, at the latest when the next test starts one.
package mariadb
