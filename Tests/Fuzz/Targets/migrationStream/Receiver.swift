import BatonWire
import MigrationCore

/// A target that answers as a VMM would and checks what it is given.
final class Receiver {
  var stream = TargetStream(maximumRAM: 1 << 36)
  private(set) var isOpen = true
  private let kind: SEVKind
  private var answers: [[UInt8]] = []
  private var lastBatch: UInt64?

  init(kind: SEVKind) { self.kind = kind }

  /// Takes an honest source's first frames.
  func open() {
    var source = SourceStream()
    open(&source)
  }

  func open(_ source: inout SourceStream) {
    do throws(StreamFault) {
      for frame in [
        SourceFrame.preamble(Samples.preamble), .manifest(Samples.offer(kind)), .session(Samples.session),
      ]
      where kind != .none || frame != .session(Samples.session) {
        let bytes = try source.send(frame)
        precondition(feed(bytes), "an honest frame was refused")
        for answer in takeAnswers() { source.receive(answer) }
        while try source.next() != nil {}
      }
    } catch { preconditionFailure("an honest stream was refused: \(error)") }
  }

  func takeAnswers() -> [[UInt8]] {
    defer { answers = [] }
    return answers
  }

  /// False when the stream is over.
  func feed(_ bytes: [UInt8]) -> Bool {
    guard isOpen else { return false }
    stream.receive(bytes)
    do throws(StreamFault) {
      while let event = try stream.next() { try take(event) }
    } catch {
      isOpen = false
      precondition(stream.phase == .failed, "a stream with a fault is in another phase")
      precondition((try? stream.next()) == nil, "a stream went on after its fault")
      precondition(!error.description.isEmpty, "a fault without words")
      return false
    }
    return true
  }

  func end() {
    guard isOpen else { return }
    do throws(StreamFault) {
      try stream.receivedEnd()
      precondition(
        stream.phase == .done || stream.phase == .cancelled, "a stream ended early without a fault")
    } catch { precondition(stream.phase == .failed, "a stream with a fault is in another phase") }
  }

  private func take(_ event: TargetStream.Event) throws(StreamFault) {
    switch event {
    case .batch(let info): takePages(info)
    case .frame(.preamble): answers.append(try stream.send(stream.reply(host: "h", build: "b")))
    case .frame(.manifest(let offer)):
      answers.append(try stream.send(.target(Samples.target(offer.kind))))
    case .frame(.session): answers.append(try stream.send(.sessionAccepted))
    case .frame(.end):
      precondition(
        stream.totals.pages >= 24 || stream.offer?.manifest != Samples.manifest, "pages are missing")
      answers.append(try stream.send(.ready(RestoreTimes(finishNanoseconds: 1, restoreNanoseconds: 1))))
    case .frame(.receipt):
      answers.append(try stream.send(.running(FirstInstruction(epoch: .max, nanoseconds: 1))))
    case .frame: break
    }
  }

  private func takePages(_ info: BatchInfo) {
    precondition(info.sequence == lastBatch.map { $0 + 1 } ?? 0, "a batch came out of order")
    lastBatch = info.sequence
    var frames: Set<UInt64> = []
    while let frame = stream.takePage({ (page: BatchPage, header: Span<UInt8>, data: Span<UInt8>) -> UInt64 in
      precondition(header.count + data.count == page.kind.byteCount, "a page has another length")
      return page.frame
    }) { precondition(frames.insert(frame).inserted, "a page came twice in one batch") }
    precondition(frames.count == info.pages, "a batch has another number of pages than it says")
    if let frame = stream.acknowledgement(deviceNanoseconds: stream.totals.pages) {
      guard let bytes = try? stream.send(frame) else { preconditionFailure("an acknowledgement was refused") }
      answers.append(bytes)
    }
  }
}
