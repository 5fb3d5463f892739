// form: bodies of multipart/form-data: composed byte by byte, and read strictly as a provider may read them.

import assert from 'node:assert/strict';

const bytes = (x) => (Buffer.isBuffer(x) ? x : Buffer.from(x, 'utf8'));

export const BOUNDARY = '----------------------------forms-1790000000';
export const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

export const field = (name, value, lines = []) =>
	Buffer.concat([bytes([`Content-Disposition: form-data; name="${name}"`, ...lines, '', ''].join('\r\n')), bytes(value)]);
export const file = (name, data, { filename = 'a.wav', type = 'audio/wav' } = {}) =>
	field(`${name}"; filename="${filename}`, data, [`Content-Type: ${type}`]);

// Such parts as a body.
export function form(...parts) {
	const all = parts.map((part) => [bytes(`--${BOUNDARY}\r\n`), bytes(part), bytes('\r\n')]).flat();
	return Buffer.concat([...all, bytes(`--${BOUNDARY}--\r\n`)]);
}

// The parts of a message: [{ name, filename, type, data }]. Whatever is not plainly right throws.
export function parseForm(message) {
	const type = message.header('content-type');
	const [, boundary] = type.match(/^multipart\/form-data; ?boundary="?([^";]+)"?$/) ?? assert.fail(`the type is ${type}`);
	const body = message.body;
	const dash = Buffer.from(`\r\n--${boundary}`);
	const parts = [];
	assert.equal(message.header('transfer-encoding'), undefined);
	assert.equal(message.header('content-length'), String(body.length));
	assert.ok(body.subarray(0, dash.length - 2).equals(dash.subarray(2)), 'it begins with the boundary');
	let at = dash.length - 2;
	while (body.toString('latin1', at, at + 2) === '\r\n') {
		const end = body.indexOf('\r\n\r\n', at);
		const next = body.indexOf(dash, end + 2);
		assert.ok(end >= 0 && next >= end + 4, 'a part has a head and an end');
		const lines = body.toString('utf8', at + 2, end).split('\r\n');
		const find = (name) => lines.filter((l) => l.toLowerCase().startsWith(`${name}: `)).map((l) => l.slice(name.length + 2));
		const [disposition, ...more] = find('content-disposition');
		assert.equal(more.length, 0);
		const [, name, , filename] = disposition.match(/^form-data; name="([^"]*)"(; filename="([^"]*)")?$/) ?? assert.fail(disposition);
		parts.push({ name, filename, type: find('content-type')[0], data: body.subarray(end + 4, next) });
		at = next + dash.length;
	}
	assert.match(body.toString('latin1', at), /^--(\r\n)*$/, 'it ends with the closing boundary');
	return parts;
}
// The one part of that name; a field's text, or a file's bytes.
export function partOf(message, name) {
	const found = parseForm(message).filter((p) => p.name === name);
	assert.equal(found.length, 1, `one ${name}`);
	return found[0].filename === undefined ? found[0].data.toString('utf8') : found[0].data;
}
