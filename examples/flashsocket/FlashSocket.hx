import flash.events.Event;
import flash.events.IOErrorEvent;
import flash.events.ProgressEvent;
import flash.events.SecurityErrorEvent;
import flash.external.ExternalInterface;
import flash.net.Socket;
import flash.system.Security;
import flash.utils.ByteArray;
import haxe.crypto.Base64;
import haxe.crypto.Sha1;
import haxe.io.Bytes;

/**
 * WebSockets (RFC 6455) for a page that has Flash and no WebSocket, one instance each; flashsocket.js is their other
 * half. All that crosses between the two is numbers and base64, because what Flash makes of other strings on the way
 * to JavaScript is not always what they were.
 */
class FlashSocket {
	static inline final MOST = 16777216; // bytes of a message
	static inline final MOST_HEAD = 8192; // bytes of the answer to a handshake
	static inline final PATIENCE = 10000; // ms, for an answer to a close
	static final sockets = new Map<Int, FlashSocket>();

	final id: Int;
	final socket = new Socket();
	final request: String;
	final key = Base64.encode(random(16));
	var received = new ByteArray(); // and not taken yet
	var message: Null<ByteArray>; // whose first frames have come
	var kind = 1; // of that message: 1 text, 2 binary
	var open = false;
	var closing = false; // we have said so
	var code = 1006;
	var reason = Bytes.alloc(0);

	static function main() {
		ExternalInterface.addCallback("flashOpen", (id, host, port, path, origin, policy) -> {
			if (policy > 0) Security.loadPolicyFile('xmlsocket://$host:$policy');
			sockets[id] = new FlashSocket(id, host, port, path, origin);
		});
		ExternalInterface.addCallback("flashSend", (id, data, kind) -> {
			if (sockets.exists(id)) sockets[id].frame(kind, Base64.decode(data));
		});
		ExternalInterface.addCallback("flashClose", (id, code, reason) -> {
			if (sockets.exists(id)) sockets[id].close(code, Base64.decode(reason));
		});
		ExternalInterface.addCallback("flashWaiting", id -> sockets.exists(id) ? sockets[id].socket.bytesPending : 0);
		ExternalInterface.call("FlashSocket.loaded");
	}

	function new(id: Int, host: String, port: Int, path: String, origin: String) {
		this.id = id;
		final at = port == 80 ? host : '$host:$port';
		request = 'GET $path HTTP/1.1\r\nHost: $at\r\nOrigin: $origin\r\nUpgrade: websocket\r\n'
			+ 'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: $key\r\n\r\n';
		socket.addEventListener(Event.CONNECT, _ -> { socket.writeUTFBytes(request); socket.flush(); });
		socket.addEventListener(ProgressEvent.SOCKET_DATA, _ -> read());
		socket.addEventListener(Event.CLOSE, _ -> end());
		socket.addEventListener(IOErrorEvent.IO_ERROR, _ -> end());
		socket.addEventListener(SecurityErrorEvent.SECURITY_ERROR, _ -> end()); // a policy file that we do not have
		try socket.connect(host, port) catch (_) haxe.Timer.delay(end, 0);
	}

	static function random(count: Int): Bytes {
		return Bytes.ofData(untyped __global__["flash.crypto.generateRandomBytes"](count));
	}

	/** What has come is taken as far as it is complete. */
	function read() {
		socket.readBytes(received, received.length);
		received.position = 0;
		while (sockets.exists(id) && (open ? takeFrame() : takeHead())) {}
		if (!open && received.bytesAvailable > MOST_HEAD) end();
		final rest = new ByteArray();
		if (received.bytesAvailable > 0) received.readBytes(rest);
		received = rest;
	}

	/** RFC 6455 §4.1: what the server has to answer. */
	function takeHead(): Bool {
		final head = received.toString();
		final length = head.indexOf("\r\n\r\n"); // in characters, which are bytes as far as HTTP goes
		if (length < 0) return false;
		final accept = Base64.encode(Sha1.make(Bytes.ofString(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
		final lines = head.substr(0, length).split("\r\n");
		final fields = [for (line in lines) {
			final colon = line.indexOf(":");
			line.substr(0, colon).toLowerCase() => StringTools.trim(line.substr(colon + 1));
		}];
		final switched = ~/^HTTP\/1\.1 101\b/.match(lines[0]) && ~/^websocket$/i.match(fields["upgrade"] + "");
		final more = fields.exists("sec-websocket-extensions") || fields.exists("sec-websocket-protocol"); // than was asked for
		if (!switched || more || fields["sec-websocket-accept"] != accept) {
			end();
			return false;
		}
		received.position = length + 4;
		open = true;
		tell("open");
		return true;
	}

	/** RFC 6455 §5.2; false if it is not all there, or is the last. */
	function takeFrame(): Bool {
		final start = received.position, there: Int = received.bytesAvailable;
		if (there < 2) return false;
		final first = received.readUnsignedByte(), second = received.readUnsignedByte(), opcode = first & 15;
		final more = second < 126 ? 0 : second == 126 ? 2 : 8;
		// No extension was asked for, servers do not mask, and what controls is short and whole.
		if (first & 0x70 != 0 || second > 127 || (opcode > 7 && (more > 0 || first < 128))) return fail(1002);
		if (there >= 2 + more) {
			final high = more == 8 ? received.readUnsignedInt() : 0;
			final length: Int = more == 0 ? second : more == 2 ? received.readUnsignedShort() : received.readUnsignedInt();
			if (high != 0 || length < 0 || length > MOST) return fail(1009);
			if (there - 2 - more >= length) {
				final data = new ByteArray();
				if (length > 0) received.readBytes(data, 0, length);
				return take(opcode, first > 127, data);
			}
		}
		received.position = start;
		return false;
	}

	function take(opcode: Int, last: Bool, data: ByteArray): Bool {
		switch opcode {
			case 8:
				if (data.length == 1) return fail(1002);
				code = data.length > 0 ? data.readUnsignedShort() : 1005;
				reason = Bytes.ofData(data).sub(data.position, data.bytesAvailable);
				if (!closing) frame(8, Bytes.ofData(data)); // the same back
				end();
			case 9:
				frame(10, Bytes.ofData(data));
			case 10:
			case 0 | 1 | 2 if ((opcode == 0) == (message != null)):
				if (opcode > 0) {
					message = new ByteArray();
					kind = opcode;
				}
				if (message.length + data.length > MOST) return fail(1009);
				message.writeBytes(data);
				if (last) {
					final whole = Bytes.ofData(message);
					message = null;
					tell("message", Base64.encode(whole), kind);
				}
			case _:
				return fail(1002);
		}
		return sockets.exists(id);
	}

	/** A frame goes out, masked as a client's must be (RFC 6455 §5.3). */
	function frame(opcode: Int, data: Bytes) {
		if (!open || closing) return;
		closing = opcode == 8;
		final mask = random(4);
		socket.writeByte(128 | opcode);
		socket.writeByte(128 | (data.length < 126 ? data.length : data.length < 65536 ? 126 : 127));
		if (data.length > 65535) socket.writeUnsignedInt(0);
		if (data.length > 65535) socket.writeUnsignedInt(data.length) else if (data.length > 125) socket.writeShort(data.length);
		for (i in 0...data.length) data.set(i, data.get(i) ^ mask.get(i & 3));
		socket.writeBytes(mask.getData());
		if (data.length > 0) socket.writeBytes(data.getData());
		socket.flush();
	}

	function close(code: Int, reason: Bytes) {
		if (!open) return end();
		final data = Bytes.alloc(code > 0 ? 2 + reason.length : 0);
		if (code > 0) {
			data.set(0, code >> 8);
			data.set(1, code & 255);
			data.blit(2, reason, 0, reason.length);
		}
		frame(8, data);
		haxe.Timer.delay(end, PATIENCE);
	}

	/** The server does not keep to the protocol. */
	function fail(code: Int): Bool {
		close(code, Bytes.alloc(0));
		end();
		return false;
	}

	function end() {
		if (!sockets.remove(id)) return;
		try socket.close() catch (_) {} // it is not open
		tell("close", Base64.encode(reason), code);
	}

	function tell(what: String, data = "", kind = 0) {
		ExternalInterface.call("FlashSocket.told", id, what, data, kind);
	}
}
