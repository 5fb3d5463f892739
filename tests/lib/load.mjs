// load: clients that send one request after the other to the echo provider until told to stop, half of them
// streaming, and note what became of each.
//
// `failed` has every request without a whole and right reply. A reused connection that is closed or reset in
// answer to a request is a failure like any other: there is no second try, so a daemon that closes a connection on which
// a request may be under way is found out.

import { connect } from './client.mjs';
import { until } from './scenario.mjs';

export const WORDS = 'one two three four five six seven eight nine ten';

export class Load {
	#stopping = false;
	#running = [];

	// `clients`: how many; every second one streams. `keepAlive`: connections are used again, while the daemon lets them.
	// `pause`: the longest time between two requests in ms, drawn at random. `port`: other than the daemon's first.
	constructor(daemon, { clients = 8, keepAlive = true, pause = 0, port = daemon.port } = {}) {
		this.port = port;
		this.keepAlive = keepAlive;
		this.pause = pause;
		this.done = 0; // requests with a right reply
		this.streams = 0; // of them, streams
		this.closing = 0; // of them, with Connection: close in the reply
		this.reused = 0; // of them, on a connection that had served before
		this.failed = []; // { port: of the client, stream, reused, why }
		this.#running = Array.from({ length: clients }, (_, i) => this.#client(i));
	}
	async #client(i) {
		const stream = i % 2 === 0;
		let conn;
		while (!this.#stopping) {
			const reused = conn !== undefined;
			let port;
			try {
				conn ??= await connect(this.port, { name: `load ${i}` });
				port = conn.socket.localPort;
				const reply = await this.#exchange(conn, stream);
				this.done++;
				this.streams += stream;
				this.reused += reused;
				this.closing += reply.header('connection') === 'close';
				if (!this.keepAlive || reply.header('connection') === 'close') {
					conn.destroy();
					conn = undefined;
				}
			} catch (error) {
				this.failed.push({ port, stream, reused, why: error.message });
				conn?.destroy();
				conn = undefined;
			}
			if (this.pause)
				await new Promise((resolve) => setTimeout(resolve, Math.random() * this.pause));
			else
				await new Promise((resolve) => setImmediate(resolve));
		}
		conn?.destroy();
	}
	async #exchange(conn, stream) {
		conn.received.length = 0; // a report of all of a load is no help
		await conn.request({
			path: '/v1/chat/completions',
			headers: this.keepAlive ? {} : { Connection: 'close' },
			json: { model: 'echo', stream, messages: [{ role: 'user', content: WORDS }] },
		});
		const reply = await conn.readReply();
		if (!reply)
			throw new Error(`no reply: ${conn.ending}`);
		if (reply.cut)
			throw new Error(`cut after ${reply.body.length} bytes: ${conn.ending}`);
		if (reply.status !== 200)
			throw new Error(`status ${reply.status}: ${reply.text}`);
		if ((stream ? streamed(reply) : reply.json.choices[0].message.content) !== WORDS)
			throw new Error(`not what was asked: ${reply.text}`);
		return reply;
	}
	// Until so many more requests were answered.
	async more(n, ms) {
		const goal = this.done + n;
		await until(() => this.done >= goal, `${n} more requests were answered`, ms);
	}
	async stop() {
		this.#stopping = true;
		await Promise.all(this.#running);
	}
	report() {
		return `--- load: ${this.done} right, ${this.failed.length} failed\n` +
			this.failed.slice(0, 20).map((f) => `${JSON.stringify(f)}\n`).join('');
	}
}

// The text of a chat stream that ended as it should; an error in it is thrown.
export function streamed(reply) {
	const all = reply.events.map((e) => e.data);
	if (all.pop() !== '[DONE]')
		throw new Error(`a stream without its end: ${reply.text.slice(-200)}`);
	return all.map((data) => JSON.parse(data)).map((e) => e.choices?.[0]?.delta?.content ?? '').join('');
}
