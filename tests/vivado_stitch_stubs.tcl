# SPDX-License-Identifier: Apache-2.0
# The commands of Vivado that FINN's CreateStitchedIP writes, over those of vivado_stubs.tcl.
#
# Files, modules, pins and widths are looked at. In the place of Vivado's wrapper of the block design
# it writes one in Verilog, which joins the cells as the script says.

source [file join [file dirname [info script]] vivado_stubs.tcl]
namespace eval v {
  variable memories {} cells {} nets {} wires {} ports {} outside {}
}

proc set_msg_config {args} { v::arguments set_msg_config $args {id} {suppress} }
proc update_ip_catalog {args} { v::arguments update_ip_catalog $args {} {rebuild scan_changes} }
proc current_fileset {} { return fileset:sources_1 }

proc add_files {args} {
  v::need_project add_files
  lassign [v::arguments add_files $args {} {norecurse}] options file
  v::count add_files $file 1 1
  set file [lindex $file 0]
  if {![file isfile $file]} { v::fail "add_files: $file does not exist" }
  if {[file pathtype $file] ne "absolute"} { v::fail "add_files: $file is relative" }
  switch [file extension $file] {
    .v - .sv { if {$file ni $v::sources} { lappend v::sources $file } }
    .mem { lappend v::memories $file }
    default { v::fail "add_files: $file is no source" }
  }
}

# Ports of a module and their bits; every memory that it names must have been added.
proc v::ports {name} {
  foreach file $v::sources {
    if {[file extension $file] ne ".v"} continue
    set channel [open $file]
    set text [read $channel]
    close $channel
    if {![regexp -indices "\\mmodule\\s+$name\\M" $text start]} continue
    set list [string range $text [lindex $start 1] [string first ");" $text [lindex $start 1]]]
    foreach {_ memory} [regexp -all -inline {"([^"\n]+\.mem)"} $text] {
      if {$memory ni $v::memories} { v::fail "create_bd_cell: $name reads $memory, not added" }
    }
    set found {}
    foreach {_ way range high port} [regexp -all -inline \
        {\m(input|output)\s+(?:wire\s+|logic\s+)?(\[(\d+):0\]\s*)?(\w+)} $list] {
      dict set found $port [list $way [expr {$high eq "" ? 1 : $high + 1}]]
    }
    return $found
  }
  v::fail "create_bd_cell: no Verilog source has the module $name"
}

proc create_bd_cell {args} {
  lassign [v::arguments create_bd_cell $args {type reference} {}] options cell
  v::count create_bd_cell $cell 1 1
  if {[dict get $options type] ne "module"} { v::fail "create_bd_cell: no module" }
  if {[dict exists $v::cells $cell]} { v::fail "create_bd_cell: $cell exists" }
  set module [dict get $options reference]
  dict set v::cells $cell [dict create module $module ports [v::ports $module]]
}

# Pins and streams are cell/name; a stream has three ports.
proc get_bd_pins {path} {
  lassign [split $path /] cell name
  if {![dict exists $v::cells $cell ports $name]} { v::fail "get_bd_pins: unknown $path" }
  return $path
}
proc get_bd_intf_pins {path} {
  lassign [split $path /] cell name
  foreach suffix {TVALID TREADY TDATA} {
    if {![dict exists $v::cells $cell ports ${name}_$suffix]} {
      v::fail "get_bd_intf_pins: unknown $path"
    }
  }
  return $path
}
proc v::stream {path} {
  lassign [split $path /] cell name
  lassign [dict get $v::cells $cell ports ${name}_TDATA] way bits
  return [list $cell $name [expr {$way eq "output" ? "Master" : "Slave"}] $bits]
}

proc get_bd_ports {name} {
  set name [string trimleft $name /]
  if {![dict exists $v::ports $name]} { v::fail "get_bd_ports: unknown $name" }
  return port:$name
}
proc get_bd_intf_ports {name} {
  if {![dict exists $v::outside $name]} { v::fail "get_bd_intf_ports: unknown $name" }
  return stream:$name
}
proc make_bd_pins_external {pin} {
  set name [lindex [split $pin /] 1]_0
  if {[dict exists $v::ports $name]} { v::fail "make_bd_pins_external: $name exists" }
  dict set v::ports $name {}
  dict set v::nets $pin $name
}
proc make_bd_intf_pins_external {pin} {
  set name [lindex [split $pin /] 1]_0
  if {[dict exists $v::outside $name]} { v::fail "make_bd_intf_pins_external: $name exists" }
  dict set v::outside $name $pin
}
proc connect_bd_net {port pin} {
  if {![regsub ^port: $port "" name]} { v::fail "connect_bd_net: found $port" }
  if {[dict exists $v::nets $pin]} { v::fail "connect_bd_net: $pin is driven twice" }
  dict set v::nets $pin $name
}
proc connect_bd_intf_net {one other} {
  lassign [v::stream $one] _ _ first width
  lassign [v::stream $other] _ _ second bits
  if {$first ne "Master" || $second ne "Slave"} { v::fail "connect_bd_intf_net: $one to $other" }
  if {$width != $bits} { v::fail "connect_bd_intf_net: $one has $width bits, $other $bits" }
  if {[dict exists $v::wires $other] || $one in [dict values $v::wires]} {
    v::fail "connect_bd_intf_net: $one or $other is connected twice"
  }
  dict set v::wires $other $one
}

proc set_property {name args} {
  if {$name ne "name"} return
  lassign $args new object
  lassign [split $object :] kind old
  switch $kind {
    port {
      dict unset v::ports $old
      dict set v::ports $new {}
      dict for {pin at} $v::nets { if {$at eq $old} { dict set v::nets $pin $new } }
    }
    stream {
      dict set v::outside $new [dict get $v::outside $old]
      dict unset v::outside $old
    }
    default { v::fail "set_property: found $object" }
  }
}

proc validate_bd_design {} {
  set streams [concat [dict keys $v::wires] [dict values $v::wires] [dict values $v::outside]]
  if {[llength $streams] != [llength [lsort -unique $streams]]} { v::fail "a stream has two ends" }
  dict for {cell found} $v::cells {
    dict for {port what} [dict get $found ports] {
      if {[regexp {^(\w+)_T(VALID|READY|DATA)$} $port _ name]} {
        if {"$cell/$name" ni $streams} { v::fail "validate_bd_design: $cell/$name is open" }
      } elseif {[lindex $what 0] eq "input" && ![dict exists $v::nets $cell/$port]} {
        v::fail "validate_bd_design: nothing drives $cell/$port"
      }
    }
  }
  set v::validated 1
}

proc save_bd_design {} {}

# The wrapper, where Vivado would put it.
proc make_wrapper {args} {
  lassign [v::arguments make_wrapper $args {files} {top}] options rest
  set design [dict get $options files]
  set folder [file join [file dirname $design] hdl]
  set module [file rootname [file tail $design]]_wrapper
  set ports {}
  foreach port [dict keys $v::ports] { lappend ports "  input wire $port" }
  set body {}
  dict for {slave master} $v::wires {
    set net [string map {/ _} $master]
    set bits [lindex [v::stream $master] 3]
    append body "  wire ${net}_tvalid, ${net}_tready;\n  wire \[[expr {$bits - 1}]:0\] ${net}_tdata;\n"
  }
  dict for {name path} $v::outside {
    lassign [v::stream $path] _ _ mode bits
    set forth [expr {$mode eq "Slave" ? "input" : "output"}]
    set back [expr {$mode eq "Slave" ? "output" : "input"}]
    lappend ports "  $forth wire ${name}_tvalid" "  $back wire ${name}_tready" \
      "  $forth wire \[[expr {$bits - 1}]:0\] ${name}_tdata"
  }
  dict for {cell found} $v::cells {
    set connected {}
    foreach port [dict keys [dict get $found ports]] {
      if {[regexp {^(\w+)_T(VALID|READY|DATA)$} $port _ name suffix]} {
        set net [v::net $cell/$name]_[string tolower T$suffix]
      } elseif {[dict exists $v::nets $cell/$port]} {
        set net [dict get $v::nets $cell/$port]
      } else {
        set net ""
      }
      lappend connected "    .${port}($net)"
    }
    append body "  [dict get $found module] $cell (\n[join $connected ",\n"]\n  );\n"
  }
  file mkdir $folder
  set channel [open $folder/$module.v w]
  puts $channel "module $module (\n[join $ports ",\n"]\n);\n$body\nendmodule"
  close $channel
}
proc v::net {path} {
  dict for {name at} $v::outside { if {$at eq $path} { return $name } }
  if {[dict exists $v::wires $path]} { set path [dict get $v::wires $path] }
  return [string map {/ _} $path]
}

proc get_files {args} {
  if {[lindex $args 0] eq "-filter"} { return $v::sources }
  return [lindex $args 0]
}
rename get_bd_intf_ports v::one_port
proc get_bd_intf_ports {args} {
  if {[lindex $args 0] eq "-filter"} { return {} }
  return [v::one_port [lindex $args 0]]
}
namespace eval ipx {
  proc package_project {args} {
    set at [dict get [lrange $args 0 1] -root_dir]
    file mkdir $at
    close [open $at/component.xml w]
  }
  foreach name {current_core find_open_core create_xgui_files get_bus_parameters
      get_bus_interfaces add_file_group add_file get_file_groups get_files update_checksums
      save_core} {
    proc $name {args} { return {} }
  }
}
