import FuzzSupport

/// Bytes as what a peer or a local program sends first, in pieces of any size: a line is found at the same place
/// however it comes, what is understood is written as it was read, and every answer is one harmless line.
@c(LLVMFuzzerTestOneInput)
public func fuzzRemoteLines(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var source = ByteSource(unsafe copyInput(start, count))
  let kind = source.below(4)
  let pieceLength = 1 + source.below(256)
  let sent = source.rest()
  guard let line = line(of: sent, pieceLength) else { return 0 }
  switch kind {
  case 0: readLocal(line)
  case 1: readPeer(line)
  case 2: readReply(line)
  default: readHost(line)
  }
  return 0
}

/// The first line, read in pieces.
private func line(of sent: [UInt8], _ pieceLength: Int) -> [UInt8]? {
  let end = sent.prefix(FirstLine.limit).firstIndex(of: UInt8(ascii: "\n"))
  var buffer = LineBuffer()
  var offset = 0
  while offset < sent.count {
    let piece = sent[offset..<min(sent.count, offset + pieceLength)]
    offset += piece.count
    do throws(RemoteFault) {
      guard let line = try buffer.append(piece) else {
        precondition(buffer.bytes.count < FirstLine.limit, "more is kept than a line may have")
        continue
      }
      precondition(line.count == end, "the line ends where the first line end is")
      precondition(line + [UInt8(ascii: "\n")] + buffer.bytes == sent[..<offset], "bytes are lost or made up")
      return line
    } catch {
      precondition(end == nil && error == .lineTooLong(limit: FirstLine.limit), "a whole line is refused")
      answer(error)
      return nil
    }
  }
  precondition(end == nil, "a whole line is not found")
  return nil
}

private func readLocal(_ line: [UInt8]) {
  let request: LocalRequest
  do throws(RemoteFault) { request = try LocalRequest(parsing: line) } catch { return answer(error) }
  var words = [request.verb]
  switch request {
  case .await(let guest): words += [guest]
  case .connect(let guest, let host): words += [guest, host.description]
  case .departure(let host, let guest, let migration), .settle(let host, let guest, let migration):
    words += [host.description, guest, migration]
  }
  let again = try? LocalRequest(parsing: Array(words.joined(separator: " ").utf8))
  precondition(again == request, "\(words) is another request")
}

private func readPeer(_ line: [UInt8]) {
  let request: PeerRequest
  do throws(RemoteFault) { request = try PeerRequest(parsing: line) } catch { return answer(error) }
  // Every peer's request is written in one way only.
  precondition(request.line == line + [UInt8(ascii: "\n")], "it is not written as it was read")
  if case .settle(_, _, let receipt) = request {
    precondition(!"\(request)".contains(receipt.hex), "a receipt is shown")
  }
}

private func readReply(_ line: [UInt8]) {
  do throws(RemoteFault) {
    switch try PeerReply(parsing: line) {
    case .ok(let words):
      let departure = try DepartureAnswer(words: words)
      precondition(departure.words == words, "an answer is not written as it was read")
      if case .departed(let receipt?) = departure {
        precondition(!"\(departure)".contains(receipt.hex), "a receipt is shown")
      }
    case .error(let refusal, let sentence):
      answer(.refusedByPeer(peer: "a.test", refusal: refusal, sentence: sentence))
    }
  } catch {
    answer(error)
  }
}

private func readHost(_ line: [UInt8]) {
  let text = String(decoding: line, as: UTF8.self)
  // Names in faults come from anywhere.
  answer(.unreachable(host: text, reason: text))
  guard let host = HostAddress(parsing: text) else { return }
  precondition(host.port > 0 && !host.host.isEmpty, "a place without a name or a port")
  precondition(HostAddress(parsing: host.description) == host, "\(host) is another place")
}

/// What whoever sent it is answered.
private func answer(_ fault: RemoteFault) {
  let line = FirstLine.refusing(fault)
  precondition(line.count <= FirstLine.limit && line.last == UInt8(ascii: "\n"), "an answer is no line")
  let text = line.dropLast()
  precondition(text.allSatisfy { (0x20...0x7E).contains($0) }, "an answer has what is not to be shown")
  guard case .error(let refusal, _)? = try? PeerReply(parsing: Array(text)) else {
    preconditionFailure("an answer is not understood by the other side")
  }
  precondition(refusal == fault.refusal, "an answer has another name")
}
