import LinuxOS
import RegistryInterface
import Systemd

/// The program that the owner of a guest runs, and the one that its unit would start now.
struct OwnerProgram: Encodable, Hashable {
  /// GNU build id of the program that runs, in hexadecimal.
  var buildId: String?
  /// The program that the unit would start.
  var path: String?
  /// Its build id.
  var pathBuildId: String?
  /// Whether they differ; nil when that is not known.
  var isOutdated: Bool?
  /// What differs, or why it is not known: one clause.
  var detail: String?

  private enum CodingKeys: String, CodingKey {
    case buildId, path, pathBuildId, detail
    case isOutdated = "outdated"
  }

  /// What the build that a VMM says of itself contains as `build-id HEX`.
  static func buildId(in text: String) -> String? {
    let words = text.split(separator: " ")
    guard let index = words.firstIndex(of: "build-id"), index + 1 < words.count else { return nil }
    let word = words[index + 1]
    return word.utf8.count >= 8 && word.allSatisfy { $0.isHexDigit && $0.isASCII } ? word.lowercased() : nil
  }

  /// A few characters for a table: of a build id the first eight.
  static func short(_ build: String?) -> String {
    guard let build else { return "-" }
    return buildId(in: build).map { String($0.prefix(8)) } ?? String(build.prefix(20))
  }
}

/// Compares what owners run with what their units would start.
final class ProgramSurvey {
  private struct Program {
    let identity: FileIdentity
    let buildId: String?
  }

  private var bus: SystemBus?
  private var noBus: String?
  private var programs: [String: Result<Program, SystemError>] = [:]

  /// Connects to the system bus, if there is one.
  init() {
    do throws(SystemBus.Failure) {
      bus = try SystemBus(limit: 2_000_000_000)
    } catch {
      noBus = error.sentence
    }
  }

  /// What is known about the program of a guest's owner.
  func program(of guest: Guest) -> OwnerProgram {
    var result = OwnerProgram()
    guard let owner = guest.owner else {
      result.detail = "it has no owner"
      return result
    }
    // What runs is what counts; what a VMM says of itself is for those who may not look.
    let running = try? Self.look(at: "/proc/\(owner.processId)/exe")
    result.buildId = running?.buildId ?? owner.buildId.flatMap(OwnerProgram.buildId(in:))
    guard let unit = owner.unit else {
      result.detail = "its owner is in no unit"
      return result
    }
    do throws(SystemBus.Failure) {
      guard let bus else { throw .init(kind: .noBus, sentence: noBus ?? "there is no system bus") }
      let path = try bus.read(.execStart, of: unit)
      guard !path.isEmpty else {
        result.detail = "its unit starts no program"
        return result
      }
      result.path = path
    } catch {
      switch error.kind {
      case .noBus, .disconnected:
        bus = nil
        noBus = error.sentence
      case .managerAway, .notAllowed, .noSuchUnit, .unitUnusable, .refused: break
      }
      result.detail = error.sentence
      return result
    }
    return compare(result, running)
  }

  private func compare(_ known: OwnerProgram, _ running: Program?) -> OwnerProgram {
    var result = known
    let path = known.path ?? ""
    if programs[path] == nil {
      programs[path] = Result { () throws(SystemError) in try Self.look(at: path) }
    }
    switch programs[path] {
    case .success(let installed):
      result.pathBuildId = installed.buildId
      if let ours = result.buildId, let theirs = installed.buildId {
        result.isOutdated = ours != theirs
        if ours != theirs {
          result.detail = "it runs build \(ours.prefix(8)), \(path) is \(theirs.prefix(8))"
        }
      } else if let running, installed.buildId != nil {
        result.isOutdated = running.identity != installed.identity
        if running.identity != installed.identity { result.detail = "its executable was replaced" }
      } else {
        result.detail =
          "builds cannot be compared: \(installed.buildId == nil ? path : "the owner") has no build id"
      }
    case .failure(let error): result.detail = "\(error)"
    case nil: break
    }
    return result
  }

  private static func look(at path: String) throws(SystemError) -> Program {
    let file = try Files.open(path, .readOnly)
    return Program(identity: try file.identity(), buildId: try BuildID.read(file))
  }
}
