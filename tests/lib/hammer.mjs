// hammer: node hammer.mjs PORT SECONDS PAUSE_MS: a process that asks the echo provider again and again, on one connection while
// it lasts, and sends home what became of it: { admitted: [[sent, received]...], refused, lost, wrong }, times in microseconds
// of the clock that all processes share.

import { connect } from './client.mjs';

const [port, seconds, pause] = process.argv.slice(2).map(Number);
const now = () => Number(process.hrtime.bigint() / 1000n);
const request = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'x' }] } };
const told = { admitted: [], refused: 0, lost: 0, wrong: [] };
const end = now() + seconds * 1e6;
let conn;

while (now() < end) {
	try {
		conn ??= await connect(port);
	} catch {
		await new Promise((done) => setTimeout(done, 20)); // no worker is left at this moment
		continue;
	}
	conn.received.length = 0;
	const sent = now();
	const reply = await conn.exchange(request).catch(() => null);
	if (reply?.status === 200)
		told.admitted.push([sent, now()]); // the head says so, even if the rest is cut
	else if (reply?.status === 429)
		told.refused++;
	else if (reply)
		told.wrong.push(`${reply.status} ${reply.text}`);
	else
		told.lost++;
	if (reply?.status === 429 && (reply.header('x-ratelimit-remaining-requests') !== '0' || !(Number(reply.header('retry-after')) >= 1)))
		told.wrong.push(reply.head.toString());
	if (!reply || reply.cut || reply.header('connection') === 'close') {
		conn.destroy();
		conn = undefined;
	}
	await new Promise((done) => setTimeout(done, Math.random() * 2 * pause));
}
conn?.destroy();
process.send(told, () => process.disconnect());
