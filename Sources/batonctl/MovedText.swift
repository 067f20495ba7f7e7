import RegistryInterface

/// What is said of a guest that was moved.
///
/// Pure: values in, lines out.
struct MovedText {
  let guest: String
  let host: String
  /// The guest as its former host knows it.
  let guestAfter: Guest?
  let summary: MigrationSummary?

  func lines(style: PictureStyle) -> [String] {
    let name = PlainText.clean(guest)
    let place = PlainText.clean(host)
    var lines = ["\(style.paint(name, .strong)): \(style.paint("runs on \(place)", .good))"]
    if let summary { lines += [""] + summary.lines(style: style) }
    lines += ["", "  here:  \(name) was given up and cannot run any more"]
    if let slot = guestAfter?.slot {
      lines.append("         systemctl disable \(slot.unit(of: name)) keeps a reboot from starting it anew")
    }
    lines.append("  there: batonctl show \(name)")
    return lines
  }
}
