// port: a TCP port of 127.0.0.1 that was free a moment ago, for what cannot take port 0.

import net from 'node:net';

export async function freePort() {
	const server = net.createServer().listen(0, '127.0.0.1');
	await new Promise((done) => server.once('listening', done));
	const { port } = server.address();
	await new Promise((done) => server.close(done));
	return port;
}
