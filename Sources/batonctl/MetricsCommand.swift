import ArgumentParser
import RegistryInterface

struct MetricsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "metrics", abstract: "Show the registry's counters and the distribution of blackouts.")

  @OptionGroup var global: GlobalOptions

  @Flag(help: "Write the text format of Prometheus.")
  var prometheus = false

  @Option(
    help: ArgumentHelp(
      "Write the text format of Prometheus to this file, in one step; without an answer of the registry the "
        + "file is removed.", valueName: "path"))
  var output: String?

  func validate() throws {
    if global.json && (prometheus || output != nil) {
      throw ValidationError("--json and --prometheus or --output contradict each other")
    }
    if let output, output.isEmpty || output.hasSuffix("/") { throw ValidationError("--output is a file") }
  }

  func run() throws {
    try global.run("metrics") { () throws(CommandFailure) in
      let reply: MetricsReply
      do throws(CommandFailure) {
        reply = try global.ask(.metrics, NoParameters())
      } catch {
        if let output { TextFileWriter.remove(output) }
        throw error
      }
      let printer = global.printer
      if let output {
        try TextFileWriter.write(PrometheusText(reply).text, to: output)
      } else if prometheus {
        printer.write(PrometheusText(reply).lines)
      } else if printer.json {
        printer.write(json: reply)
      } else {
        printer.write(counters(reply.counters, printer) + [""] + histograms(reply.histograms, printer))
      }
      return .success
    }
  }

  private func counters(_ counters: Counters, _ printer: Printer) -> [String] {
    var table = TextTable([.init("COUNTER"), .init("VALUE", numeric: true)])
    func add(_ name: String, _ value: String) { table.append([.init(name), .init(value)]) }
    func add(_ name: String, _ value: UInt64?) {
      if let value { add(name, PlainText.grouped(value)) }
    }
    add("uptime", printer.duration(counters.uptimeMicroseconds))
    add("guests", counters.guests)
    for (state, count) in (counters.guestsByState ?? [:]).sorted(by: { $0.key < $1.key }) where count > 0 {
      add("guests \(state)", count)
    }
    add("guests in handoff", counters.guestsInHandoff)
    add("alarms", counters.alarms)
    add("VMM connections", counters.vmmConnections)
    add("operator connections", counters.operatorConnections)
    add("open calls of Watch", counters.operatorWatches)
    add("slots barred", counters.slotsBarred)
    add("descriptors in custody", counters.custodyDescriptors)
    if let stored = counters.storeDescriptors, let capacity = counters.storeCapacity {
      add("descriptors in the store", "\(PlainText.grouped(stored)) of \(PlainText.grouped(capacity))")
    }
    add("journal", PlainText.size(bytes: counters.journalBytes))
    add("resident memory", PlainText.size(bytes: counters.residentBytes))
    add("guests registered", counters.guestsRegistered)
    add("guests ended", counters.guestsEnded)
    add("alarms raised", counters.alarmsRaised)
    add("handoffs started", counters.handoffsStarted)
    add("handoffs of parked guests", counters.handoffsParked)
    add("handoffs committed", counters.handoffsCommitted)
    add("handoffs taken back", counters.handoffsTakenBack)
    add("handoffs aborted", counters.handoffsAborted)
    add("handoffs lost", counters.handoffsLost)
    add("handoffs ended with the guest", counters.handoffsEnded)
    add("migrations planned", counters.migrationsPlanned)
    add("migrations started", counters.migrationsStarted)
    add("migrations that departed", counters.migrationsDeparted)
    add("migrations that stayed", counters.migrationsStayed)
    add("migrations arriving", counters.migrationsArriving)
    add("migrations arrived", counters.migrationsArrived)
    add("migrations of which nothing came", counters.migrationsFailed)
    add("slots barred in all", counters.slotsBarredTotal)
    add("processes fenced", counters.fencedProcesses)
    add("records received", counters.recordsReceived)
    add("records refused", counters.recordsRefused)
    add("journal compactions", counters.journalCompactions)
    add("log lines dropped", counters.logLinesDropped)
    for (name, count) in counters.refusals.sorted(by: { $0.key < $1.key }) {
      add("refusal \(name)", count)
    }
    return table.lines(width: nil, style: printer.style)
  }

  private func histograms(_ histograms: [LatencyHistogram], _ printer: Printer) -> [String] {
    guard !histograms.isEmpty else { return ["no handoff was committed yet"] }
    var table = TextTable([
      .init("DURATION"), .init("COUNT", numeric: true), .init("MIN", numeric: true),
      .init("P50", numeric: true), .init("P99", numeric: true), .init("MAX", numeric: true),
    ])
    for histogram in histograms {
      table.append([
        .init(histogram.name), .init(PlainText.grouped(histogram.count)),
        .init(printer.duration(histogram.minimumMicroseconds)),
        .init(printer.duration(histogram.p50Microseconds)),
        .init(printer.duration(histogram.p99Microseconds)),
        .init(printer.duration(histogram.maximumMicroseconds)),
      ])
    }
    return table.lines(width: nil, style: printer.style)
  }
}
