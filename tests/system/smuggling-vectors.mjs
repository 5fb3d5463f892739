// smuggling-vectors: bytes of which two readers might make two different things, and what they are here.
//
// A row: [section of RFC 9112 (or 9110 where it says so), what it is, the bytes, what becomes of them].
//
//	a number          refused with that status, nothing reaches a provider, the connection is closed
//	kept(s, bodies)   replies with the statuses s, the provider gets `bodies`, the connection is good for another request
//	ends(s, bodies)   the same, but the connection is closed behind them, as a reply or the client has said
//	WAITS             a message that is not complete: nothing is answered yet, nothing reaches a provider
//
// Replies of providers are a table of their own (REPLIES), with the request BODY before and another one behind.
//
// The runner sends PROBE behind the bytes: it must be answered where the row says kept, and never where not.

export const CHAT = '/v1/chat/completions';
export const BODY = '{"model":"m","n":[1, 2]}';
export const kept = (replies = [200], bodies = [BODY]) => ({ replies, bodies, probe: true });
export const ends = (replies = [200], bodies = [BODY]) => ({ replies, bodies, probe: false });
export const WAITS = { waits: true };

const LINE = `POST ${CHAT} HTTP/1.1`;
const CL = `Content-Length: ${BODY.length}\r\n`, TE = 'Transfer-Encoding: chunked\r\n', ZERO = 'Content-Length: 0\r\n';
const SIZE = BODY.length.toString(16), CHUNK = `${SIZE}\r\n${BODY}\r\n`, LAST = '0\r\n\r\n', CHUNKED = `${CHUNK}${LAST}`;
const whole = (line, fields, body = '') => `${line}\r\n${fields}\r\n${body}`;
const post = (fields, body = '') => whole(LINE, `Host: x\r\n${fields}`, body);
const chunked = (body) => post(TE, body);
// A request to another target, with other fields before the ones that frame it.
const to = (target, fields = 'Host: x\r\n', { method = 'POST', version = 'HTTP/1.1' } = {}) => whole(`${method} ${target} ${version}`, `${fields}${CL}`, BODY);
const line = (text) => whole(text, `Host: x\r\n${CL}`, BODY);
const extra = (fields) => post(`${fields}${CL}`, BODY);

export const INNER = to(CHAT, 'Host: inner\r\n').replaceAll('"n"', '"i"');
export const PROBE = to(CHAT, 'Host: probe\r\nConnection: close\r\n').replaceAll('"n"', '"p"');
export const PROBE_BODY = BODY.replace('"n"', '"p"');
const HIDDEN = `Content-Length: ${INNER.length}\r\n`;
const form = (file, boundary = 'b') => `--${boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--${boundary}\r\n` +
	`Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n${file}\r\n--${boundary}--\r\n`;
const upload = (body, boundary = 'b') => whole('POST /v1/audio/transcriptions HTTP/1.1',
	`Host: x\r\nContent-Type: multipart/form-data; boundary=${boundary}\r\nContent-Length: ${body.length}\r\n`, body);
const json = (body) => post(`Content-Length: ${body.length}\r\n`, body);

const LENGTHS = [
	['6.1', 'CL.TE: the length first', post(`${CL}${TE}`, LAST + INNER), 400],
	['6.1', 'TE.CL: the coding first', post(`${TE}${CL}`, CHUNKED), 400],
	['6.1', 'a length of 0 with the coding', post(`${ZERO}${TE}`, CHUNKED), 400],
	['6.1', 'a coding between two lengths', post(`${CL}${TE}${CL}`, CHUNKED), 400],
	['6.3', 'two lengths, the shorter first', post(`${ZERO}${CL}`, INNER), 400],
	['6.3', 'two lengths, the longer first', post(`${CL}${ZERO}`, BODY), 400],
	['6.3', 'the same length twice', post(`${CL}${CL}`, BODY), 400],
	['6.3', 'the same length twice in one field', post(`Content-Length: ${BODY.length}, ${BODY.length}\r\n`, BODY), 400],
	['6.3', 'two lengths in one field', post(`Content-Length: 0, ${BODY.length}\r\n`, BODY), 400],
	['6.3', 'a length with a comma behind it', post(`Content-Length: ${BODY.length},\r\n`, BODY), 400],
	['6.3', 'a length with a comma before it', post(`Content-Length: ,${BODY.length}\r\n`, BODY), 400],
	['6.3', 'a length of one name in capitals and one not', post(`CONTENT-LENGTH: 0\r\ncontent-length: ${BODY.length}\r\n`, BODY), 400],
	['9110 8.6', 'an empty length', post('Content-Length:\r\n', INNER), 400],
	['9110 8.6', 'a length of white space', post('Content-Length: \t \r\n', INNER), 400],
	['9110 8.6', 'a length with a plus', post(`Content-Length: +${BODY.length}\r\n`, BODY), 400],
	['9110 8.6', 'a negative length', post('Content-Length: -1\r\n', BODY), 400],
	['9110 8.6', 'minus zero', post('Content-Length: -0\r\n', INNER), 400],
	['9110 8.6', 'a hexadecimal length', post(`Content-Length: 0x${SIZE}\r\n`, BODY), 400],
	['9110 8.6', 'a length of hex digits', post('Content-Length: a\r\n', BODY), 400],
	['9110 8.6', 'a length with an underscore', post('Content-Length: 2_4\r\n', BODY), 400],
	['9110 8.6', 'a length with a space in it', post('Content-Length: 2 4\r\n', BODY), 400],
	['9110 8.6', 'a length with a fraction', post('Content-Length: 24.0\r\n', BODY), 400],
	['9110 8.6', 'a length with an exponent', post('Content-Length: 24e0\r\n', BODY), 400],
	['9110 8.6', 'a length in quotes', post('Content-Length: "24"\r\n', BODY), 400],
	['9110 8.6', 'a length with a parameter', post('Content-Length: 24;q=1\r\n', BODY), 400],
	['9110 8.6', 'a length of digits that are none of ASCII', post('Content-Length: \xb2\xb4\r\n', BODY), 400],
	['9110 8.6', 'a length behind a no-break space', post('Content-Length: \xa024\r\n', BODY), 400],
	['9110 8.6', '2^63', post('Content-Length: 9223372036854775808\r\n', BODY), 400],
	['9110 8.6', '2^64', post('Content-Length: 18446744073709551616\r\n', BODY), 400],
	['9110 8.6', '2^64 and the length', post(`Content-Length: ${2n ** 64n + BigInt(BODY.length)}\r\n`, BODY), 400],
	['9110 8.6', '2^32 and the length', post(`Content-Length: ${2 ** 32 + BODY.length}\r\n`, BODY), 413],
	['9110 8.6', '2^63 - 1', post('Content-Length: 9223372036854775807\r\n', BODY), 413],
	['9110 8.6', 'a length of a thousand digits', post(`Content-Length: ${'9'.repeat(1000)}\r\n`, BODY), 400],
	['9110 8.6', 'leading zeros', post(`Content-Length: 000${BODY.length}\r\n`, BODY), kept()],
	['9110 8.6', 'white space around a length', post(`Content-Length: \t ${BODY.length} \t\r\n`, BODY), kept()],
	['9110 8.6', 'no white space before a length', post(`Content-Length:${BODY.length}\r\n`, BODY), kept()],
	['6.3', 'neither length nor coding: no body', post('', ''), kept([411], [])],
	['6.3', 'a body without length or coding', post('', BODY), { replies: [411, 400], bodies: [], probe: false }],
	['6.3', 'a length of 0 and a body all the same', post(ZERO, BODY), { replies: [400, 400], bodies: [], probe: false }],
	['6.3', 'a length of 0 and a request in the place of a body', post(ZERO, INNER), kept([400, 200], [BODY.replace('"n"', '"i"')])],
	['6.3', 'a length that ends in the middle of the body', post('Content-Length: 12\r\n', BODY), { replies: [400, 400], bodies: [], probe: false }],
	['6.3', 'a length that takes in the next request', post(`Content-Length: ${BODY.length + INNER.length}\r\n`, BODY + INNER), kept([400], [])],
	['6.3', 'a length that is longer than all that comes', post('Content-Length: 100000\r\n', `{"model":"m","x":"${' '.repeat(20)}`), WAITS],
];

const coding = (value) => post(`Transfer-Encoding: ${value}\r\n`, CHUNKED);
const CODINGS = [
	...['xchunked', 'chunkedx', 'identity', 'gzip, chunked', 'chunked, gzip', 'identity, chunked', 'chunked, identity', 'chunked, chunked', ',chunked', 'chunked,', 'chunked;q=1',
		'chunked; foo="bar"', '"chunked"', "'chunked'", 'cow', 'chunk', 'trailers', 'chunked chunked', '\x80chunked', 'chunked\xa0', 'chunked,chunked,chunked', 'deflate', '', ','].map((value) =>
		['6.1', `the coding ${JSON.stringify(value)}`, coding(value), 501]),
	...[['a vertical tab before', '\x0bchunked'], ['a vertical tab behind', 'chunked\x0b'], ['a form feed before', '\x0cchunked'], ['a NUL behind', 'chunked\0'], ['a CR before', '\rchunked'],
		['a CR behind', 'chunked\r'], ['a LF before', '\nchunked'], ['a LF behind', 'chunked\n'], ['a DEL behind', 'chunked\x7f']].map(([name, value]) => ['5.5', `chunked with ${name}`, coding(value), 400]),
	['6.1', 'chunked twice, as two fields', post(`${TE}${TE}`, CHUNKED), 501],
	['6.1', 'chunked, then identity, as two fields', post(`${TE}Transfer-Encoding: identity\r\n`, CHUNKED), 501],
	['6.1', 'identity, then chunked, as two fields', post(`Transfer-Encoding: identity\r\n${TE}`, CHUNKED), 501],
	['6.1', 'chunked, and a coding that nobody knows', post(`${TE}Transfer-encoding: x\r\n`, CHUNKED), 501],
	['6.1', 'an empty coding beside a length', post(`Transfer-Encoding:\r\n${CL}`, BODY), 400],
	['6.1', 'identity beside a length', post(`Transfer-Encoding: identity\r\n${CL}`, BODY), 400],
	['6.1', 'chunked in HTTP/1.0', whole(`POST ${CHAT} HTTP/1.0`, `Host: x\r\n${TE}`, CHUNKED), 400],
	['6.1', 'chunked beside a length in HTTP/1.0', whole(`POST ${CHAT} HTTP/1.0`, `Host: x\r\n${TE}${CL}`, CHUNKED), 400],
	['6.1', 'chunked in HTTP/1.0 with keep-alive', whole(`POST ${CHAT} HTTP/1.0`, `Host: x\r\nConnection: keep-alive\r\n${TE}`, CHUNKED), 400],
	['6.1', 'chunked, with a mind of its own about letters', post('tRANSFER-eNCODING: cHuNkEd\r\n', CHUNKED), kept()],
	['6.1', 'chunked between white space', post('Transfer-Encoding:\t chunked \t\r\n', CHUNKED), kept()],
	['6.1', 'chunked with no space before it', post('Transfer-Encoding:chunked\r\n', CHUNKED), kept()],
	['5.1', 'a space before the colon of the coding', post('Transfer-Encoding : chunked\r\n', CHUNKED), 400],
	['5.1', 'a tab before the colon of the coding', post('Transfer-Encoding\t: chunked\r\n', CHUNKED), 400],
	['5.1', 'a space before the name of the coding', post(' Transfer-Encoding: chunked\r\n', CHUNKED), 400],
	['5.2', 'a coding on a folded line', post('Transfer-Encoding:\r\n chunked\r\n', CHUNKED), 400],
	['5.2', 'a coding in the fold of another field', post('X: y\r\n Transfer-Encoding: chunked\r\n', CHUNKED), 400],
	['5.2', 'a name, folded before its colon', post('Transfer-Encoding\r\n : chunked\r\n', CHUNKED), 400],
	['9110 5.1', 'an underscore in the name of the coding is another name', post(`Transfer_Encoding: chunked\r\n${CL}`, BODY), kept()],
	['9110 5.1', 'an underscore in the name of the length is another name', post(`Content_Length: 3\r\n${CL}`, BODY), kept()],
	['9110 10.1.4', 'TE is no coding', post(`TE: chunked\r\n${CL}`, BODY), kept()],
	['9110 8.4', 'Content-Encoding: chunked', post(`Content-Encoding: chunked\r\n${CL}`, BODY), 415],
];

const TRICKS = [
	['no size', `\r\n${BODY}\r\n${LAST}`], ['a minus', `-${SIZE}\r\n${BODY}\r\n${LAST}`], ['a plus', `+${SIZE}\r\n${BODY}\r\n${LAST}`], ['0x', `0x${SIZE}\r\n${BODY}\r\n${LAST}`],
	['an underscore', `1_8\r\n${BODY}\r\n${LAST}`], ['white space before the size', ` ${SIZE}\r\n${BODY}\r\n${LAST}`], ['white space behind the size', `${SIZE} \r\n${BODY}\r\n${LAST}`],
	['a tab behind the size', `${SIZE}\t\r\n${BODY}\r\n${LAST}`], ['a NUL behind the size', `${SIZE}\0\r\n${BODY}\r\n${LAST}`], ['an h behind the size', `${SIZE}h\r\n${BODY}\r\n${LAST}`],
	['a comma behind the size', `${SIZE},1\r\n${BODY}\r\n${LAST}`], ['a size of 17 digits', `${SIZE.padStart(17, '0')}\r\n${BODY}\r\n${LAST}`], ['a size of 2^64 and more', `1${SIZE.padStart(16, '0')}\r\n${BODY}\r\n${LAST}`],
	['a size that is only an extension', `;x\r\n${BODY}\r\n${LAST}`], ['a bare LF behind the size', `${SIZE}\n${BODY}\r\n${LAST}`], ['a bare CR behind the size', `${SIZE}\r${BODY}\r\n${LAST}`],
	['two CRs behind the size', `${SIZE}\r\r\n${BODY}\r\n${LAST}`], ['a bare LF in an extension', `${SIZE};x\n${BODY}\r\n${LAST}`], ['a bare CR in an extension', `${SIZE};x\ry\r\n${BODY}\r\n${LAST}`],
	['a NUL in an extension', `${SIZE};x\0\r\n${BODY}\r\n${LAST}`], ['an extension of 5,000 bytes', `${SIZE};${'x'.repeat(5000)}\r\n${BODY}\r\n${LAST}`], ['no CRLF behind the data', `${SIZE}\r\n${BODY}${LAST}`],
	['a bare LF behind the data', `${SIZE}\r\n${BODY}\n${LAST}`], ['a bare CR behind the data', `${SIZE}\r\n${BODY}\r${LAST}`], ['two bytes that are no CRLF behind the data', `${SIZE}\r\n${BODY}XX${LAST}`],
	['data longer than its size', `${(BODY.length - 1).toString(16)}\r\n${BODY}\r\n${LAST}`], ['a bare LF behind the last size', `${CHUNK}0\n\r\n`], ['two bare LFs at the end', `${CHUNK}0\n\n`],
	['a bare LF at the very end', `${CHUNK}0\r\n\n`], ['a bare CR at the very end', `${CHUNK}0\r\n\rX`], ['minus zero at the end', `${CHUNK}-0\r\n\r\n`], ['a trailer without a colon', `${CHUNK}0\r\nX\r\n\r\n`],
	['a trailer with a space before its colon', `${CHUNK}0\r\nX : y\r\n\r\n`], ['a folded trailer', `${CHUNK}0\r\nX: y\r\n z\r\n\r\n`], ['a trailer that begins with a space', `${CHUNK}0\r\n X: y\r\n\r\n`],
	['a trailer that ends in a bare LF', `${CHUNK}0\r\nX: y\n\r\n`], ['a NUL in a trailer', `${CHUNK}0\r\nX: \0\r\n\r\n`], ['a request in the place of trailers', `${CHUNK}0\r\n${INNER}`],
	['20,000 bytes of trailers', `${CHUNK}0\r\n${`X: ${'y'.repeat(95)}\r\n`.repeat(200)}\r\n`], ['a colon alone as a trailer', `${CHUNK}0\r\n: y\r\n\r\n`],
];
const CHUNKS = [
	...TRICKS.map(([name, body]) => ['7.1', name, chunked(body), 400]),
	['7.1', 'a chunk of 2^62', chunked(`4000000000000000\r\n${BODY}`), WAITS],
	['7.1', 'a chunk of 2^64 - 1', chunked(`ffffffffffffffff\r\n${BODY}`), WAITS],
	['7.1', 'no last chunk', chunked(CHUNK), { replies: [400], bodies: [], probe: false }],
	['7.1', 'leading zeros, capitals, and extensions of all forms', chunked(`00${SIZE};a;b=c;d="e f" ; g\r\n${BODY}\r\n000;x=y\r\n\r\n`), kept()],
	['7.1.2', 'trailers with a length, a coding and a host', chunked(`${CHUNK}0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: Bearer evil\r\n\r\n`), kept()],
	['7.1.2', 'a trailer with a model and an id', chunked(`${CHUNK}0\r\nX-Request-Id: evil\r\nX-Title: evil\r\n\r\n`), kept()],
	['7.1', 'each byte a chunk', chunked([...BODY].map((c) => `1\r\n${c}\r\n`).join('') + LAST), kept()],
	['7.1', 'an empty body in chunks', chunked(LAST), kept([400], [])],
	['7.1', 'a request behind the last chunk is the next one', chunked(CHUNKED) + INNER, kept([200, 200], [BODY, BODY.replace('"n"', '"i"')])],
	['7.1', 'a last chunk in the middle: the rest is not HTTP', chunked(LAST + CHUNKED), { replies: [400, 400], bodies: [], probe: false }],
];

const HEADS = [
	['2.2', 'lines that end in bare LF', `${LINE}\nHost: x\n${CL.replace('\r', '')}\n${BODY}`, 400],
	['2.2', 'a request line that ends in bare LF', extra('').replace('HTTP/1.1\r\n', 'HTTP/1.1\n'), 400],
	['2.2', 'a field that ends in bare LF before another length', extra('X: y\nContent-Length: 0\r\n'), 400],
	['2.2', 'a head that ends in CR LF LF', post(CL.trim() + '\r\n').replace(/\r\n$/, '\n') + BODY, 400],
	['2.2', 'a bare CR before another length', extra('X: y\rContent-Length: 0\r\n'), 400],
	['2.2', 'a CR too many', extra('X: y\r\r\n'), 400],
	['2.2', 'one empty line before the request', `\r\n${extra('')}`, kept()],
	['2.2', 'two empty lines before the request', `\r\n\r\n${extra('')}`, 400],
	['2.2', 'a bare LF before the request', `\n${extra('')}`, 400],
	['2.2', 'white space before the request', ` ${extra('')}`, 400],
	['2.2', 'white space between request line and fields', whole(LINE, ` Host: x\r\n${CL}`, BODY), 400],
	['2.2', 'an empty line of white space, and a request behind it', whole(LINE, `Host: x\r\n \r\n${CL}`, BODY), 400],
	['5.1', 'a field without a colon', extra('X\r\n'), 400],
	['5.1', 'a field without a name', extra(': y\r\n'), 400],
	['5.1', 'a space in a name', extra('X Y: z\r\n'), 400],
	['5.1', 'a space before the colon of the length', post(`Content-Length : ${BODY.length}\r\n`, BODY), 400],
	['5.1', 'a space before the colon of the host', to(CHAT, 'Host : x\r\n'), 400],
	['5.2', 'a folded value', extra('X: y\r\n z\r\n'), 400],
	['5.2', 'a length folded into another field', extra('X: y\r\n\tContent-Length: 0\r\n'), 400],
	['5.2', 'a fold right behind the host', to(CHAT, 'Host: x\r\n y\r\n'), 400],
	...[['\0', 'NUL'], ['\x01', 'SOH'], ['\x08', 'backspace'], ['\x0b', 'a vertical tab'], ['\x1f', 'US'], ['\x7f', 'DEL'], ['\x80', 'a byte of 0x80'], ['\xff', 'a byte of 0xff'], ['(', 'a parenthesis'], ['"', 'a quote'],
		['/', 'a slash'], ['[', 'a bracket'], ['{', 'a brace'], ['@', 'an @'], ['\\', 'a backslash']].map(([c, name]) => ['9110 5.1', `${name} in a name`, extra(`X${c}Y: z\r\n`), 400]),
	...[['\0', 'NUL'], ['\x01', 'SOH'], ['\x1b', 'escape'], ['\x7f', 'DEL']].map(([c, name]) => ['9110 5.5', `${name} in a value`, extra(`X: y${c}z\r\n`), 400]),
	['9110 5.5', 'bytes of 0x80 and more in a value', extra('Idempotency-Key: \x80\xff\xc3\xa9\r\n'), kept()],
	['9110 5.5', 'a tab in a value', extra('X-Title: a\tb\r\n'), kept()],
	['9110 5.5', 'an empty value', extra('X-Title:\r\n'), kept()],
	['9110 5.5', 'CR and LF as a client might hope to have them decoded', extra('X-Title: a%0d%0aContent-Length: 0\r\nUser-Agent: b\\r\\nHost: evil\r\nIdempotency-Key: c&#13;&#10;d\r\n'), kept()],
	['9110 5.5', 'CR and LF in UTF-8 of too many bytes', extra('X-Title: a\xc0\x8d\xc0\x8aHost: evil\r\n'), kept()],
	['9110 5.5', 'CR and LF as parts of wide characters', extra('X-Title: a\xe5\x98\x8d\xe5\x98\x8aHost: evil\r\n'), kept()],
	['9110 5.4', 'more fields than limits.headers', extra('X: y\r\n'.repeat(101)), 431],
	['9110 5.4', 'a field of 40,000 bytes', extra(`X: ${'y'.repeat(40000)}\r\n`), 431],
	['9110 5.4', 'a name of 40,000 bytes', extra(`${'X'.repeat(40000)}: y\r\n`), 431],
];

const LINES = [
	...[`post ${CHAT} HTTP/1.1`, `Post ${CHAT} HTTP/1.1`, `POSTX ${CHAT} HTTP/1.1`, `${'X'.repeat(1000)} ${CHAT} HTTP/1.1`].map((text) => ['9110 9.1', `the method of ${text.slice(0, 20)}`, line(text), ends([405], [])]),
	['9110 9.3.1', 'GET with a body', line(`GET ${CHAT} HTTP/1.1`), ends([405], [])],
	['9110 9.3.5', 'DELETE with chunks', whole(`DELETE ${CHAT} HTTP/1.1`, `Host: x\r\n${TE}`, CHUNKED), ends([405], [])],
	['9110 9.3.2', 'HEAD with a body', line(`HEAD ${CHAT} HTTP/1.1`), ends([405], [])],
	['9110 9.3.2', 'HEAD, whose reply has no body', whole('HEAD /health HTTP/1.1', 'Host: x\r\n'), kept([200], [])],
	['9110 9.3.8', 'TRACE gives nothing back', whole(`TRACE ${CHAT} HTTP/1.1`, 'Host: x\r\nAuthorization: Bearer y\r\n'), kept([405], [])],
	['9110 9.3.6', 'CONNECT', whole('CONNECT x:443 HTTP/1.1', 'Host: x:443\r\n'), 400],
	['9110 9.3.6', 'CONNECT with a path', line(`CONNECT ${CHAT} HTTP/1.1`), 400],
	['9110 9.3.7', 'OPTIONS *', whole('OPTIONS * HTTP/1.1', 'Host: x\r\n'), kept([204], [])],
	['9110 9.3.7', 'OPTIONS with a request as its body', whole('OPTIONS * HTTP/1.1', `Host: x\r\n${HIDDEN}`, INNER), ends([204], [])],
	['3.2.4', 'POST *', line('POST * HTTP/1.1'), 400],
	['3', 'two spaces behind the method', line(`POST  ${CHAT} HTTP/1.1`), 400],
	['3', 'a tab behind the method', line(`POST\t${CHAT} HTTP/1.1`), 400],
	['3', 'two spaces before the version', line(`POST ${CHAT}  HTTP/1.1`), 400],
	['3', 'a space behind the version', line(`POST ${CHAT} HTTP/1.1 `), 400],
	['3', 'a tab before the version', line(`POST ${CHAT}\tHTTP/1.1`), 400],
	['3', 'a version behind the version', line(`POST ${CHAT} HTTP/1.1 HTTP/1.1`), 400],
	['3', 'a NUL in the method', line(`PO\0ST ${CHAT} HTTP/1.1`), 400],
	['3', 'a byte of 0x80 in the method', line(`P\x80ST ${CHAT} HTTP/1.1`), 400],
	['3', 'a colon in the method', line(`POST:x ${CHAT} HTTP/1.1`), 400],
	['3', 'a space in the method', line(`PO ST ${CHAT} HTTP/1.1`), 400],
	['3', 'a space in the authority of the target', line(`POST http://x y${CHAT} HTTP/1.1`), 400],
	['3', 'a request line of one word', line('POST'), 400],
	['2.3', 'HTTP/0.9', `GET /health\r\n${INNER}`, 400],
	['2.3', 'HTTP/0.9 with a number', line(`POST ${CHAT} HTTP/0.9`), 505],
	['2.3', 'HTTP/1.2 is spoken to as 1.1', line(`POST ${CHAT} HTTP/1.2`), kept()],
	['2.3', 'HTTP/2.0', line(`POST ${CHAT} HTTP/2.0`), 505],
	['2.3', 'HTTP/3', line(`POST ${CHAT} HTTP/3`), 400],
	...['HTTP/1.01', 'HTTP/01.1', 'HTTP/1.1x', 'HTTP/1,1', 'HTTP/1.', 'HTTP/1', 'http/1.1', 'Http/1.1', 'HTTP /1.1', 'HTTP/ 1.1', 'HTTP/+1.1', 'HTTP/1.-1', 'HTTP\\1.1', 'ICY/1.1', 'HTTP/1.\xb9'].map((version) =>
		['2.3', `the version ${JSON.stringify(version)}`, line(`POST ${CHAT} ${version}`), 400]),
	['2.3', 'HTTP/1.10 is not 1.1', line(`POST ${CHAT} HTTP/1.10`), 400],
	['9113 3.4', 'the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
	['9.3', 'HTTP/1.0 is closed behind one reply', whole(`POST ${CHAT} HTTP/1.0`, `Host: x\r\n${CL}`, BODY), ends()],
	['9.3', 'HTTP/1.0 with keep-alive is kept', whole(`POST ${CHAT} HTTP/1.0`, `Host: x\r\nConnection: keep-alive\r\n${CL}`, BODY), kept()],
	['3.2', 'HTTP/1.0 without a host', whole(`POST ${CHAT} HTTP/1.0`, `Connection: keep-alive\r\n${CL}`, BODY), kept()],
	...[['x y', 'a space'], ['x\ty', 'a tab'], [`${CHAT}#x`, 'a fragment'], [`${CHAT}\0`, 'a NUL'], [`${CHAT}\x7f`, 'a DEL'], [`${CHAT}\x80`, 'a byte of 0x80'], [`${CHAT}\xc3\xa9`, 'UTF-8'], [`${CHAT}/../embeddings`, '..'],
		[`/%2e%2e${CHAT}`, '.. in escapes'], [`/v1/.${CHAT.slice(3)}`, '.'], ['/v1/chat/%2e/completions', '. in escapes'], [`/x/..%2f${CHAT.slice(1)}`, '.. and a slash in escapes'], [`/x/..\\${CHAT.slice(1)}`, '.. and a backslash'],
		[`${CHAT}%00`, 'an escaped NUL'], [`${CHAT}%0d%0aHost:y`, 'escaped CR and LF'], [`${CHAT}%0`, 'half an escape'], [`${CHAT}%zz`, 'a broken escape'], ['x', 'no slash'], ['', 'nothing'], ['x:80', 'an authority'], [`//x${CHAT}\x01`, 'a control'],
		[`ftp://x${CHAT}`, 'another scheme'], [`http:${CHAT}`, 'a scheme without an authority'], [`http:///${CHAT}`, 'an empty authority'], [`http://u@x${CHAT}`, 'a user'], [`http://u:p@x${CHAT}`, 'a user and his password'],
		[`http://x:65536${CHAT}`, 'a port over 65535'], [`http://x:-1${CHAT}`, 'a port below 0'], [`http://x:8 0${CHAT}`, 'a space in a port'], [`http://[::1${CHAT}`, 'an open bracket'], [`http://[x]${CHAT}`, 'a name in brackets'],
		[`http://x%00${CHAT}`, 'an escaped NUL in the authority'], [`http://x\\@y${CHAT}`, 'a backslash in the authority']].map(([target, name]) => ['3.2', `${name} in the target`, to(target), 400]),
	...[[`//x${CHAT}`, 'two slashes are no authority'], ['/v1/chat%2fcompletions', 'an escaped slash is none'], [`${CHAT};x`, 'a parameter is part of the path'], [`${CHAT}%20`, 'an escaped space']].map(([target, name]) =>
		['3.2', name, to(target), ends([404], [])]),
	['3.2.1', 'doubled slashes', to(`//v1//chat///completions`), kept()],
	['3.2.1', 'escaped letters', to('/v1/%63hat/completions'), kept()],
	['3.2.1', 'escaped CR and LF in a query stay escaped', to(`${CHAT}?a=%0d%0aHost:%20evil&b=/../`), kept()],
	['3.2.2', 'an absolute target stands above the host', to(`http://y${CHAT}`), kept()],
	['3.2.2', 'an absolute target without a host', to(`http://y${CHAT}`, ''), 400],
	['3.2.2', 'an absolute target and two hosts', to(`http://y${CHAT}`, 'Host: x\r\nHost: y\r\n'), 400],
	['3', 'a target of 40,000 bytes', to(`${CHAT}?${'y'.repeat(40000)}`), 414],
	['3.2', 'no host', to(CHAT, ''), 400],
	['3.2', 'two hosts', to(CHAT, 'Host: x\r\nHost: y\r\n'), 400],
	['3.2', 'the same host twice', to(CHAT, 'Host: x\r\nhost: x\r\n'), 400],
	...['', 'x y', 'x,y', 'x/y', 'x/../y', 'x?y', 'x#y', 'u@x', 'u:p@x', 'x:y', 'x:65536', 'x:-1', 'x:+80', 'x:080000', 'x:80:80', 'http://x', '[::1', '::1', '[x]', '[::1]x', 'x%00', 'x%2fy', 'x\\y', '\xe9', 'x\xa0', '*', '"x"', '<x>'].map((host) =>
		['9110 7.2', `the host ${JSON.stringify(host)}`, to(CHAT, `Host: ${host}\r\n`), 400]),
	...['x', 'X.Example.', '127.0.0.1:1', '[::1]:65535', '[::]', 'x:', 'a_b~c-d.e:0'].map((host) => ['9110 7.2', `the host ${host}`, to(CHAT, `Host: ${host}\r\n`), kept()]),
];

const CONNECTIONS = [
	...['content-length', 'host', 'transfer-encoding', 'content-type, x-title', 'x-request-id', 'authorization', 'Content-Length, Host', 'close-not', ',,,', ', x-api-key ,'].map((options) =>
		['9110 7.6.1', `Connection: ${options}`, extra(`X-Title: t\r\nX-Request-Id: given\r\nAuthorization: Bearer y\r\nConnection: ${options}\r\n`), kept()]),
	['9110 7.6.1', 'Connection: transfer-encoding with chunks', post(`${TE}Connection: Transfer-Encoding\r\n`, CHUNKED), kept()],
	['9110 7.6.1', 'Connection: content-length with two lengths', post(`Connection: Content-Length\r\n${CL}Content-Length: 99\r\n`, BODY), 400],
	['9.6', 'Connection: close: nothing behind it is read', extra('Connection: close\r\n'), ends()],
	['9.6', 'close among other options', extra('Connection: x, cLoSe ,keep-alive\r\n'), ends()],
	['9.6', 'close in a second field', extra('Connection: keep-alive\r\nConnection: close\r\n'), ends()],
	['9110 7.8', 'h2c is not switched to', extra('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n'), kept()],
	['9110 7.8', 'a WebSocket is not switched to', extra('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'), kept()],
	['9110 7.8', 'a WebSocket by GET', whole(`GET ${CHAT} HTTP/1.1`, 'Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'), kept([405], [])],
	...['200-ok', '100-continue, x', '100-continue;x', '"100-continue"', 'x'].map((value) => ['9110 10.1.1', `Expect: ${value}`, extra(`Expect: ${value}\r\n`), 417]),
	['9110 10.1.1', 'Expect twice', extra('Expect: 100-continue\r\nExpect: 100-Continue\r\n'), kept()],
	['9110 10.1.1', 'Expect where the body has come already', extra('Expect: 100-continue\r\n'), kept()],
	['9110 10.1.1', 'Expect without a body, and a request behind it', post(`Expect: 100-continue\r\n${ZERO}`), kept([400], [])],
	['9110 10.1.1', '0.CL: a request in the body of GET that expects', whole('GET /health HTTP/1.1', `Host: x\r\nExpect: 100-continue\r\n${HIDDEN}`, INNER), ends([200], [])],
	['9.3', 'CL.0: a request in the body of a path of the router\'s own', whole('GET /health HTTP/1.1', `Host: x\r\n${HIDDEN}`, INNER), ends([200], [])],
	['9.3', 'CL.0: a request in the body of HEAD', whole('HEAD / HTTP/1.1', `Host: x\r\n${HIDDEN}`, INNER), ends([200], [])],
	['9.3', 'CL.0: a request in the body of an unknown path', whole('POST /nowhere HTTP/1.1', `Host: x\r\n${HIDDEN}`, INNER), ends([404], [])],
	['9.3', 'CL.0: a request in chunks to a path of the router\'s own', whole('GET /v1/models HTTP/1.1', `Host: x\r\n${TE}`, `${INNER.length.toString(16)}\r\n${INNER}\r\n${LAST}`), ends([200], [])],
	['9.3', 'CL.0: a request in the body of a coded one', post(`Content-Encoding: gzip\r\n${HIDDEN}`, INNER), ends([415], [])],
	['9.3.2', 'a good request, a bad one, a good one', extra('') + extra('X : y\r\n') + INNER, ends([200, 400], [BODY])],
	['9.3.2', 'a good request, one of two lengths, a good one', extra('') + post(`${ZERO}${CL}`, INNER), ends([200, 400], [BODY])],
	['9.3.2', 'three good requests', extra('') + INNER + chunked(CHUNKED), kept([200, 200, 200], [BODY, BODY.replace('"n"', '"i"'), BODY])],
	['9.3.2', 'a request, bytes that are none, a request', `${extra('')}hello\r\n\r\n${INNER}`, ends([200, 400], [BODY])],
	['9.3.2', 'a bad path, a bad method and a good request', whole('GET /nowhere HTTP/1.1', 'Host: x\r\n') + whole(`PUT ${CHAT} HTTP/1.1`, 'Host: x\r\n') + INNER, kept([404, 405, 200], [BODY.replace('"n"', '"i"')])],
];

const BODIES = [
	['8259', 'a request behind the JSON, inside the length', json(`${BODY}\r\n${INNER}`), kept([400], [])],
	['8259', 'a request in a string of JSON, with its line ends', json(`{"model":"m","x":"${INNER.replaceAll('"', "'")}"}`), kept([400], [])],
	['8259', 'a request in a string of JSON, escaped', json(JSON.stringify({ model: 'm', x: INNER })), kept([200], [JSON.stringify({ model: 'm', x: INNER })])],
	['8259', 'JSON and white space behind it', json(`${BODY}\r\n\r\n\t `), kept([200], [`${BODY}\r\n\r\n\t `])],
	['8259', 'model twice', json('{"model":"m","model":"other"}'), kept([400], [])],
	['8259', 'model twice, once in an escape', json('{"model":"m","mod\\u0065l":"other"}'), kept([400], [])],
	['8259', 'stream twice', json('{"model":"m","stream":false,"stream":true}'), kept([400], [])],
	['8259', 'a NUL behind the JSON', json(`${BODY}\0`), kept([400], [])],
	['8259', 'two values', json(`${BODY}${BODY}`), kept([400], [])],
	['8259', 'a byte-order mark', json(`\xef\xbb\xbf${BODY}`), kept([200], [`\xef\xbb\xbf${BODY}`])],
	['2046 5.1.1', 'a request in a file of a form', upload(form(INNER)), kept([200], [form(INNER)])],
	['2046 5.1.1', 'another boundary in a file of a form', upload(form(form('x', 'c'))), kept([200], [form(form('x', 'c'))])],
	['2046 5.1.1', 'a request behind the last boundary is its epilogue', upload(form('x') + INNER), kept([200], [form('x') + INNER])],
	['2046 5.1.1', 'a form without an end', upload(form('x').slice(0, -6)), kept([400], [])],
	['2046 5.1.1', 'a form without a boundary', whole('POST /v1/audio/transcriptions HTTP/1.1', `Host: x\r\nContent-Type: multipart/form-data\r\nContent-Length: ${form('x').length}\r\n`, form('x')), ends([400], [])],
	['2046 5.1.1', 'a boundary with a space behind it', upload(form('x', 'b '), '"b "'), ends([400], [])],
];

export const VECTORS = [...LENGTHS, ...CODINGS, ...CHUNKS, ...HEADS, ...LINES, ...CONNECTIONS, ...BODIES].map(([section, name, text, outcome]) => ({ section, name, text,
	outcome: typeof outcome === 'number' ? { replies: [outcome], bodies: [], probe: false } : outcome }));

// ---- what a provider sends

export const ANSWER = '{"id":"x","choices":[]}';
// What the client gets, whole; and whether the provider's connection serves the next request.
export const gets = (status, text, reused = true) => ({ status, text, reused });
export const REFUSED = { status: 502 }; // the router's own error
export const BROKEN = { broken: true }; // that, or where some had gone to the client already a reply that is visibly cut
const reply = (fields, body = ANSWER, first = 'HTTP/1.1 200 OK') => `${first}\r\nContent-Type: application/json\r\n${fields}\r\n${body}`;
const RL = `Content-Length: ${ANSWER.length}\r\n`, RCHUNKED = `${ANSWER.length.toString(16)}\r\n${ANSWER}\r\n${LAST}`;
const SECOND = reply('Content-Length: 11\r\n', '{"evil": 1}');
const OK = gets(200, ANSWER), ONCE = gets(200, ANSWER, false);

// [section, what it is, the bytes, what becomes of them, and then: 'end' the provider closes, or bytes that come late]
export const REPLIES = [
	['6.3', 'a length', reply(RL), OK],
	['6.3', 'chunks', reply(TE, RCHUNKED), OK],
	['6.3', 'until the end of the connection', reply(''), ONCE, 'end'],
	['6.3', 'HTTP/1.0 until the end of the connection', reply('', ANSWER, 'HTTP/1.0 200 OK'), ONCE, 'end'],
	['6.1', 'a length and a coding', reply(`${RL}${TE}`, RCHUNKED), REFUSED],
	['6.1', 'a coding and a length', reply(`${TE}Content-Length: 0\r\n`, RCHUNKED), REFUSED],
	['6.3', 'two lengths', reply(`${RL}Content-Length: 5\r\n`), REFUSED],
	['6.3', 'two lengths, the shorter first', reply(`Content-Length: 5\r\n${RL}`), REFUSED],
	['6.3', 'two lengths in one field', reply(`Content-Length: ${ANSWER.length}, 5\r\n`), REFUSED],
	['9110 8.6', 'the same length twice', reply(`${RL}${RL}`), OK],
	['9110 8.6', 'the same length twice in one field', reply(`Content-Length: ${ANSWER.length}, ${ANSWER.length}\r\n`), OK],
	['9110 8.6', 'leading zeros', reply(`Content-Length: 000${ANSWER.length}\r\n`), OK],
	...['', '+23', '-1', '0x17', '2 3', '23,', ',23', '23;x', '"23"', '23.0', '9223372036854775808', '18446744073709551616', '18446744073709551639'].map((value) =>
		['9110 8.6', `the length ${JSON.stringify(value)}`, reply(`Content-Length: ${value}\r\n`), REFUSED]),
	...['gzip, chunked', 'identity', 'chunked, chunked', 'xchunked', 'chunked;q=1', '"chunked"', 'chunked,', '', '\x0bchunked', 'chunked\0'].map((value) =>
		['6.1', `the coding ${JSON.stringify(value)}`, reply(`Transfer-Encoding: ${value}\r\n`, RCHUNKED), REFUSED]),
	['6.1', 'chunked twice', reply(`${TE}${TE}`, RCHUNKED), REFUSED],
	['6.1', 'chunked in HTTP/1.0', reply(TE, RCHUNKED, 'HTTP/1.0 200 OK'), REFUSED],
	...TRICKS.map(([name, body]) => ['7.1', name, reply(TE, body.replaceAll(INNER, SECOND)), BROKEN]),
	['7.1', 'a chunk of 2^62', reply(TE, `4000000000000000\r\n${ANSWER}`), BROKEN, 'end'],
	['7.1', 'no last chunk', reply(TE, RCHUNKED.slice(0, -5)), BROKEN, 'end'],
	['7.1', 'a last chunk without the empty line', reply(TE, RCHUNKED.slice(0, -2)), BROKEN, 'end'],
	['7.1.2', 'trailers that frame and name', reply(TE, `${RCHUNKED.slice(0, -2)}Content-Length: 5\r\nSet-Cookie: evil\r\nX-Api-Router-Provider: evil\r\n\r\n`), OK],
	['8', 'less than its length', reply('Content-Length: 100\r\n'), BROKEN, 'end'],
	['8', 'a length and nothing', reply('Content-Length: 100\r\n', ''), REFUSED, 'end'],
	['8', 'half a head', 'HTTP/1.1 200 OK\r\nContent-Le', REFUSED, 'end'],
	['8', 'nothing', '', REFUSED, 'end'],
	['9.2', 'a second reply behind the length', reply(RL) + SECOND, ONCE],
	['9.2', 'a second reply behind the chunks', reply(TE, RCHUNKED) + SECOND, ONCE],
	['9.2', 'a second reply behind a 204', `HTTP/1.1 204 No Content\r\n\r\n${SECOND}`, gets(204, '', false)],
	['9.2', 'an empty line behind the length', `${reply(RL)}\r\n`, ONCE],
	['9.2', 'a second reply that comes late', reply(RL), ONCE, SECOND],
	['9.2', 'a second reply that comes late, behind chunks', reply(TE, RCHUNKED), ONCE, SECOND],
	['9.2', 'half a second reply that comes late', reply(RL), ONCE, 'HTTP/1.1 200 OK\r\nX: '],
	['9.2', 'an empty line that comes late', reply(RL), ONCE, '\r\n'],
	['9110 15.2', '100 before the reply', `HTTP/1.1 100 Continue\r\n\r\n${reply(RL)}`, OK],
	['9110 15.2', '103 with fields before the reply', `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nSet-Cookie: evil\r\n\r\n${reply(RL)}`, OK],
	['9110 15.2', 'a length in a 100, which has no body', `HTTP/1.1 100 Continue\r\nContent-Length: ${SECOND.length}\r\n\r\n${reply(RL)}`, OK],
	['9110 15.2', 'a body behind a 100', `HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello${reply(RL)}`, REFUSED],
	['9110 15.2', '5,000 of 100 before the reply', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(5000) + reply(RL), OK],
	['9110 15.2', '100 and no more', 'HTTP/1.1 100 Continue\r\n\r\n', REFUSED, 'end'],
	['9110 15.2.2', '101', `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${SECOND}`, REFUSED],
	['9110 15.2.2', '101 to h2c', `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n${SECOND}`, REFUSED],
	['9110 15.3.5', '204', 'HTTP/1.1 204 No Content\r\n\r\n', gets(204, '')],
	['9110 15.3.5', '204 with a length of 0', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', gets(204, '')],
	['9110 15.3.5', '204 with a length and a body', `HTTP/1.1 204 No Content\r\n${RL}\r\n${ANSWER}`, gets(204, '', false)],
	['9110 15.3.5', '204 with a length and no body', `HTTP/1.1 204 No Content\r\n${RL}\r\n`, gets(204, '', false)],
	['9110 15.3.5', '204 with chunks', `HTTP/1.1 204 No Content\r\n${TE}\r\n${RCHUNKED}`, gets(204, '', false)],
	['9110 15.4.5', '304 with a body', `HTTP/1.1 304 Not Modified\r\n${RL}\r\n${ANSWER}`, REFUSED],
	['9110 15.4', '307 to somewhere else', `HTTP/1.1 307 Temporary Redirect\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n`, REFUSED],
	...['HTTP/1.1 2000 OK', 'HTTP/1.1 20 OK', 'HTTP/1.1 099 x', 'HTTP/1.1 600 x', 'HTTP/1.1 +20 x', 'HTTP/1.1 2x0 x', 'HTTP/1.1  200 OK', 'HTTP/1.1\t200 OK', 'HTTP/1.1 200\tOK', 'HTTP/1.1', 'HTTP/1.1 ', 'HTTP/2.0 200 OK', 'HTTP/2 200',
		'HTTP/0.9 200 OK', 'HTTP/1.01 200 OK', 'http/1.1 200 OK', 'ICY 200 OK', ' HTTP/1.1 200 OK', '\r\nHTTP/1.1 200 OK', '\nHTTP/1.1 200 OK', 'xHTTP/1.1 200 OK', 'HTTP/1.1 200 O\0K', 'HTTP/1.1 200 O\x1bK', 'HTTP/1.1 200 O\rK', 'HTTP/1.1 200 OK\n', 'HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK'].map((first) =>
		['4', `the status line ${JSON.stringify(first)}`, reply(RL, ANSWER, first), REFUSED]),
	['4', 'no status line at all', ANSWER, REFUSED, 'end'],
	['4', 'no reason', reply(RL, ANSWER, 'HTTP/1.1 200 '), OK],
	['4', 'neither reason nor the space before it', reply(RL, ANSWER, 'HTTP/1.1 200'), OK],
	['4', 'a reason of bytes of 0x80 and more', reply(RL, ANSWER, 'HTTP/1.1 200 \xe9\xff'), OK],
	['2.3', 'HTTP/1.7', reply(RL, ANSWER, 'HTTP/1.7 200 OK'), OK],
	['9.3', 'HTTP/1.0 with a length is closed', reply(RL, ANSWER, 'HTTP/1.0 200 OK'), ONCE],
	['9.3', 'HTTP/1.0 with keep-alive', reply(`${RL}Connection: keep-alive\r\n`, ANSWER, 'HTTP/1.0 200 OK'), OK],
	['9.6', 'Connection: close', reply(`${RL}Connection: close\r\n`), ONCE],
	...[['X : y\r\n', 'a space before a colon'], ['X: y\r\n z\r\n', 'a fold'], [' X: y\r\n', 'a line that begins with a space'], ['X\r\n', 'no colon'], [': y\r\n', 'no name'], ['X: \0\r\n', 'a NUL in a value'], ['X\0: y\r\n', 'a NUL in a name'],
		['X: a\rSet-Cookie: evil\r\n', 'a bare CR in a value'], ['X: a\nSet-Cookie: evil\r\n', 'a bare LF in a value'], ['X: a\x7f\r\n', 'a DEL in a value'], ['X\xff: y\r\n', 'a byte of 0xff in a name'],
		['X: y\r\n'.repeat(101), 'more fields than limits.headers'], [`X: ${'y'.repeat(40000)}\r\n`, 'a field of 40,000 bytes'], ['Content-Length : 5\r\n', 'a space before the colon of another length']].map(([fields, name]) =>
		['5', `${name} in the head`, reply(`${fields}${RL}`), REFUSED]),
	['9110 7.6.1', 'fields for the router alone', reply(`${RL}Connection: X-Secret, keep-alive\r\nX-Secret: evil\r\nKeep-Alive: evil\r\nProxy-Authenticate: evil\r\nTE: evil\r\nTrailer: evil\r\nUpgrade: evil\r\n`), OK],
	['9110 7.6.1', 'an id for the router alone', reply(`${RL}Connection: x-request-id\r\nX-Request-Id: evil\r\n`), OK],
	['9110 5', 'fields that are the router\'s own, and cookies', reply(`${RL}X-Api-Router-Provider: evil\r\nSet-Cookie: evil\r\nServer: evil\r\nAlt-Svc: evil\r\n`), OK],
].map(([section, name, text, outcome, then]) => ({ section, name, text, outcome, then }));
